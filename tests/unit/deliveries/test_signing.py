import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import svix.webhooks
from django.core import checks
from standardwebhooks import Webhook, WebhookVerificationError

from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.deliveries import signing
from apps.deliveries.accept import Draft, accept
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

# What a JSON parser would change on the way: key order, spaces, escapes, repeated keys, numbers,
# a line separator, an emoji inside and outside the basic plane, a combining accent, a trailing newline.
ODD_BODIES = [
    b'{"z": 1,\t"a" :2 , "z":1.0e+02, "n": 0.10000000000000000001}\r\n',
    '{"emoji": "\U0001f98a\u2764\ufe0f", "sep": "\u2028", "e": "e\u0301\u00e9", "nul": "\\u0000"}'.encode(),
    '{"\\u00e9": "\\ud83e\\udd8a", "slash": "\\/", "\u202ertl": "\u0000"}'.encode(),
    b'  {"lone": "\\ud800", "big": 123456789012345678901234567890}  ',
    b"\xef\xbb\xbf{}",
    b"{}",
]


def test_the_known_vector_of_the_specification_comes_out() -> None:
    signature = signing.sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


# The vector of Svix's own tests: a seed and its public key.
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
ASYMMETRIC = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


@pytest.mark.parametrize("private", [PRIVATE, f"whsk_{b64encode(b64decode(PRIVATE[5:])[:32]).decode()}"])
def test_the_known_vector_of_ed25519_comes_out_with_and_without_the_public_key(private: str) -> None:
    signature = signing.sign(private, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == ASYMMETRIC


def test_each_secret_signs_in_the_order_given() -> None:
    headers = signing.headers([SECRET, PRIVATE], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b"{}")
    first, second = headers["webhook-signature"].split(" ")
    assert (first[:3], second[:4]) == ("v1,", "v1a,")


@pytest.mark.parametrize("prefixes", [["webhook"], ["svix"], ["webhook", "svix"]])
def test_the_headers_have_the_names_that_the_setting_asks_for(settings: Any, prefixes: list[str]) -> None:
    settings.WAYBILL_SIGNATURE_HEADERS = prefixes
    headers = signing.headers([SECRET], "msg_1", int(time.time()), b"{}")
    names = ("id", "timestamp", "signature")
    assert headers.keys() == {f"{prefix}-{name}" for prefix in prefixes for name in names}
    svix.webhooks.Webhook(SECRET).verify(b"{}", headers)


@pytest.mark.parametrize("prefixes", [[], ["x-acme"], ["webhook", ""]])
def test_names_that_no_library_looks_for_are_an_error(settings: Any, prefixes: list[str]) -> None:
    def found() -> list[str]:
        messages = checks.run_checks(tags=["security"])
        return [message.id for message in messages if message.id == "deliveries.E001"]

    assert found() == []
    settings.WAYBILL_SIGNATURE_HEADERS = prefixes
    assert found() == ["deliveries.E001"]


@pytest.mark.parametrize("key_bytes", [24, 25, 26, 32, 64])
def test_a_receivers_library_verifies_the_headers_under_keys_of_any_allowed_length(key_bytes: int) -> None:
    secret = "whsec_" + b64encode(secrets.token_bytes(key_bytes)).decode()
    headers = signing.headers([secret], "msg_1", int(time.time()), b'{"n":1}')
    assert Webhook(secret).verify(b'{"n":1}', headers) == {"n": 1}


@pytest.mark.parametrize(
    "altered",
    [
        {"message_id": "msg_2"},
        {"timestamp": 1614265330},
        {"body": b'{"n": 1}'},
        {"secrets": ["whsec_" + b64encode(b"another key of 24 bytes.").decode()]},
    ],
)
def test_the_signature_covers_id_time_and_body(altered: dict[str, object]) -> None:
    now = int(time.time())  # the library refuses what is five minutes old
    sent = {"secrets": [SECRET], "message_id": "msg_1", "timestamp": now, "body": b'{"n":1}'}
    headers = signing.headers(**sent)
    forged = {**headers, "webhook-signature": signing.headers(**{**sent, **altered})["webhook-signature"]}
    Webhook(SECRET).verify(sent["body"], headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(sent["body"], forged)


@pytest.mark.django_db
@pytest.mark.usefixtures("datastore", "private_endpoints")
def test_invariant_4_the_signed_bytes_are_the_delivered_bytes(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    endpoint = add_endpoint(receiver.url)
    for body in ODD_BODIES:
        accept(route_of(), Draft(event_type="odd", payload=body))
    tasks.drain()
    assert sorted(request.body for request in receiver.requests) == sorted(ODD_BODIES)
    for request in receiver.requests:
        signed_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        by_the_library = Webhook(endpoint.signing_secret).sign(
            request.headers["webhook-id"], signed_at, request.body.decode()
        )
        assert request.headers["webhook-signature"] == by_the_library
        assert request.headers["content-length"] == str(len(request.body))
