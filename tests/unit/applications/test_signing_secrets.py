from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.applications import signing_secrets
from apps.applications.models import Endpoint
from apps.applications.signing_secrets import BadSecret, TooManyOld

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()


def base64(key: bytes) -> str:
    return b64encode(key).decode()


@pytest.mark.parametrize(
    "text", [f"whsec_{base64(b'k' * 24)}", f"whsk_{base64(b's' * 32)}", f"whsk_{base64(b's' * 32 + PUBLIC)}"]
)
def test_a_secret_is_kept_as_it_was_given(text: str) -> None:
    assert signing_secrets.parse(text) == text


def test_the_prefix_of_a_shared_secret_may_be_left_out() -> None:
    assert signing_secrets.parse(base64(b"k" * 24)) == f"whsec_{base64(b'k' * 24)}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsk_",
        f"whsec_{base64(b'k' * 23)}",
        f"whsec_{base64(b'k' * 76)}",
        f"whsk_{base64(b's' * 31)}",
        f"whsk_{base64(b's' * 33)}",
        f"whsk_{base64(b's' * 64)}",
        f"whpk_{base64(PUBLIC)}",
        "whsec_" + "A" * 33,
        f"whsec_{base64(b'k' * 24)}\n",
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadSecret) as refused:
        signing_secrets.parse(text)
    assert not text or text.strip() in {"whsec_", "whsk_"} or text[6:] not in str(refused.value)


def test_a_receiver_gets_the_public_key_of_a_private_one() -> None:
    for key in (b"s" * 32, b"s" * 32 + PUBLIC):
        assert signing_secrets.for_receiver(f"whsk_{base64(key)}") == f"whpk_{base64(PUBLIC)}"
    assert signing_secrets.for_receiver("whsec_any") == "whsec_any"


def test_the_secret_before_is_valid_for_the_grace_period_and_then_is_gone() -> None:
    endpoint = Endpoint(signing_secret="one")
    signing_secrets.rotate(endpoint, "two", DAY, NOW)
    assert endpoint.signing_secret == "two"
    assert signing_secrets.valid(endpoint.old_signing_secrets, NOW + DAY - timedelta(seconds=1)) == ["one"]
    assert signing_secrets.valid(endpoint.old_signing_secrets, NOW + DAY) == []
    signing_secrets.rotate(endpoint, "three", DAY, NOW + DAY)
    assert [old["secret"] for old in endpoint.old_signing_secrets] == ["two"]


def test_without_a_grace_period_the_secret_before_is_not_kept() -> None:
    endpoint = Endpoint(signing_secret="one")
    signing_secrets.rotate(endpoint, "two", timedelta(0), NOW)
    assert (endpoint.signing_secret, endpoint.old_signing_secrets) == ("two", None)


def test_ten_old_secrets_are_valid_and_no_more() -> None:
    endpoint = Endpoint(signing_secret="0")
    for number in range(1, 11):
        signing_secrets.rotate(endpoint, str(number), DAY, NOW)
    with pytest.raises(TooManyOld):
        signing_secrets.rotate(endpoint, "11", DAY, NOW)
    assert endpoint.signing_secret == "10"
    assert signing_secrets.valid(endpoint.old_signing_secrets, NOW) == list("9876543210")
    signing_secrets.rotate(endpoint, "11", timedelta(0), NOW)  # one that leaked goes at any time
    signing_secrets.rotate(endpoint, "12", DAY, NOW + DAY)


def test_a_secret_that_comes_back_signs_once() -> None:
    endpoint = Endpoint(signing_secret="one")
    signing_secrets.rotate(endpoint, "one", DAY, NOW)
    assert endpoint.old_signing_secrets is None
    signing_secrets.rotate(endpoint, "two", DAY, NOW)
    signing_secrets.rotate(endpoint, "one", DAY, NOW)
    assert [endpoint.signing_secret, *signing_secrets.valid(endpoint.old_signing_secrets, NOW)] == [
        "one",
        "two",
    ]
