import pytest
from multidict import CIMultiDict

from apps.appengine.local.front_door import headers


def to_app(*given: tuple[str, str]) -> dict[str, str]:
    return dict(headers.to_app(CIMultiDict(given), client="127.0.0.1", scheme="http"))


@pytest.mark.parametrize("prefix", ["X-AppEngine-", "x-appengine-", "X_AppEngine_", "X-Google-", "x_google_"])
def test_what_wsgi_would_take_for_a_header_of_app_engines_is_dropped(prefix: str) -> None:
    """gunicorn drops underscores too, but the app must not depend on that."""
    assert "forged" not in to_app((f"{prefix}QueueName", "forged")).values()


def test_a_trace_in_the_older_header_is_the_same_in_the_newer() -> None:
    sent = to_app(("X-Cloud-Trace-Context", f"{'AB' * 16}/255;o=1"))
    assert sent["traceparent"] == f"00-{'ab' * 16}-{255:016x}-01"
    assert sent["X-Cloud-Trace-Context"] == f"{'AB' * 16}/255;o=1"


def test_several_addresses_on_the_way_are_kept_in_order() -> None:
    sent = to_app(("X-Forwarded-For", "203.0.113.9"), ("x-forwarded-for", "198.51.100.7"))
    assert sent["X-Forwarded-For"] == "203.0.113.9, 198.51.100.7, 127.0.0.1"
