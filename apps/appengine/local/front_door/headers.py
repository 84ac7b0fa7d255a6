"""What App Engine's front end, or Cloud Run's, does to the headers of a request from outside.

https://cloud.google.com/appengine/docs/standard/reference/request-headers
Cloud Run's removes nothing: none of its pages promises it, so nothing may rely on it.
"""

from collections.abc import Mapping

from multidict import CIMultiDict

from apps.appengine.trace import Trace

# RFC 9110, section 7.6.1; the last is answered by the front door itself.
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
}
# Only App Engine itself may send these; the app trusts them.
FORGEABLE = ("x-appengine-", "x-google-")
SET_HERE = {"x-forwarded-proto"}


def to_app(
    headers: CIMultiDict[str], client: str, scheme: str, forgeable: tuple[str, ...] = FORGEABLE
) -> CIMultiDict[str]:
    """The headers of a request from outside as the app gets them."""
    cleaned = CIMultiDict(
        (name, value)
        for name, value in end_to_end(headers).items()
        if not is_reserved(canonical(name), forgeable)
    )
    cleaned["X-Forwarded-For"] = ", ".join([*cleaned.popall("X-Forwarded-For", []), client])
    cleaned["X-Forwarded-Proto"] = scheme
    cleaned.update(trace(cleaned))
    return cleaned


def is_reserved(name: str, forgeable: tuple[str, ...]) -> bool:
    """Whether a canonical name may only be set by the front end."""
    return name.startswith(forgeable) or name in SET_HERE


def canonical(name: str) -> str:
    """WSGI cannot tell X_AppEngine_QueueName from X-AppEngine-QueueName, so neither do we."""
    return name.lower().replace("_", "-")


def end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers without those that concern one connection only."""
    listed = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP | listed
    )


def trace(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace headers that are missing: of the trace the client began, or of a new one."""
    current = Trace.from_headers(headers.get("traceparent"), headers.get("X-Cloud-Trace-Context"))
    span, sampled = int(current.span_id, 16), int(current.sampled)
    made = {
        "X-Cloud-Trace-Context": f"{current.trace_id}/{span};o={sampled}",
        "traceparent": current.traceparent,
    }
    return {name: value for name, value in made.items() if name not in headers}
