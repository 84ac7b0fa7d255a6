import pytest

from apps.applications import endpoint_headers
from apps.applications.endpoint_headers import BadHeaders


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Tenant": "7"},
        {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"!#$%&'*+-.^_`|~9a": "a b\tc"},
        {"X-Empty": ""},
        {"X-Long": "v" * (4096 - 6)},
        {f"X-{number}": "v" for number in range(20)},
        {"x" * 100: "v"},
    ],
)
def test_what_a_receiver_may_want_is_allowed(headers: dict[str, str]) -> None:
    endpoint_headers.check(headers)


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Content_Length",
        "CONTENT-TYPE",
        "Transfer-Encoding",
        "Connection",
        "TE",
        "Upgrade",
        "Proxy-Authorization",
        "webhook-id",
        "Webhook-Signature",
        "svix-timestamp",
        "User-Agent",
        "Accept-Encoding",
        "X-AppEngine-QueueName",
        "x_appengine_cron",
        "X-Google-IAP",
        "Metadata-Flavor",
    ],
)
def test_what_the_sender_sets_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadHeaders, match=f"^{name} is set by the sender"):
        endpoint_headers.check({name: "hunter2"})


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X-Ä", "X-A\n", "(comment)", "x" * 101])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadHeaders, match="A name has"):
        endpoint_headers.check({name: "hunter2"})


@pytest.mark.parametrize("end", ["\r\nX-B: c", "\n", " ", "\t", "ä", "\0", "\x7f", "\U0001f98a"])
@pytest.mark.parametrize("before", [True, False])
def test_what_could_break_out_of_its_line_is_refused_and_not_repeated(end: str, before: bool) -> None:
    with pytest.raises(BadHeaders, match="The value of X-Key") as refused:
        endpoint_headers.check({"X-Key": f"{end}hunter2" if before else f"hunter2{end}"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({f"X-{number}": "v" for number in range(21)}, "At most 20"),
        ({"X-Long": "v" * (4096 - 5)}, "more than 4096"),
        ({"X-A": "1", "x-a": "2"}, "differ in case"),
    ],
)
def test_too_many_too_long_and_twice_are_refused(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(BadHeaders, match=reason):
        endpoint_headers.check(headers)


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Auth-Token", "api_key", "Cookie", "X-Secret", "X-Signature", "X-PASSWORD"]
)
def test_what_looks_like_a_credential_is_not_shown(name: str) -> None:
    assert endpoint_headers.without_credentials({name: "v", "X-Tenant": "7"}) == ({"X-Tenant": "7"}, [name])
