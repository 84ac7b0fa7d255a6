"""Headers of a customer's own, sent with each message to an endpoint: which may be set, which are shown.

Many hold credentials of the receiver, so they are encrypted at rest, never logged, and those that look
like credentials are not shown again.
"""

import re
from collections.abc import Iterable, Mapping

MOST = 20
LARGEST = 4096  # characters of all names and values: receivers commonly take 8 KiB, their own included
LONGEST_NAME = 100
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2: token
VALUE = re.compile(r"(?:[!-~](?:[ -~\t]*[!-~])?)?")  # RFC 9110, 5.5, ASCII only

# What we set ourselves, what says how the connection or the body is to be read (RFC 9110, 7.6.1), and
# Accept-Encoding: answers are kept as they come, so a compressed one would be noise.
FORBIDDEN = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
}
# Signatures, whoever's names they bear; proxies; what Google's services believe of each other.
FORBIDDEN_PREFIXES = (
    "webhook-",
    "svix-",
    "proxy-",
    "x-appengine-",
    "x-google-",
    "x-cloudtasks-",
    "metadata-",
)
CREDENTIAL = re.compile(r"auth|cookie|credential|key|pass|secret|session|sign|token")


class BadHeaders(ValueError):
    """These headers can not be sent. The message says which one and why, and holds no value."""


def check(headers: Mapping[str, str]) -> None:
    """Raise BadHeaders unless all of them may be sent, and together."""
    if len(headers) > MOST:
        raise BadHeaders(f"At most {MOST} headers.")
    if sum(len(name) + len(value) for name, value in headers.items()) > LARGEST:
        raise BadHeaders(f"Names and values take more than {LARGEST} characters.")
    if len({name.lower() for name in headers}) < len(headers):
        raise BadHeaders("Two names differ in case only.")
    for name, value in headers.items():
        _check_one(name, value)


def merge(kept: Mapping[str, str], changes: Mapping[str, str | None], taken: Iterable[str]) -> dict[str, str]:
    """`kept` with `changes` set, those of None and `taken` gone. Names that differ in case only are one."""
    replaced = {name.lower() for name in (*changes, *taken)}
    left = {name: value for name, value in kept.items() if name.lower() not in replaced}
    return left | {name: value for name, value in changes.items() if value is not None}


def is_forbidden(name: str) -> bool:
    """Whether the name is not the customer's to set. Many servers take "_" for "-": so does this."""
    canonical = name.lower().replace("_", "-")
    return canonical in FORBIDDEN or canonical.startswith(FORBIDDEN_PREFIXES)


def without_credentials(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What may be shown, and the names of the others."""
    sensitive = [name for name in headers if CREDENTIAL.search(name.lower())]
    return {name: value for name, value in headers.items() if name not in sensitive}, sensitive


def _check_one(name: str, value: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise BadHeaders(f"A name has 1 to {LONGEST_NAME} letters, digits or any of !#$%&'*+-.^_`|~.")
    if is_forbidden(name):
        raise BadHeaders(f"{name} is set by the sender and can not be set here.")
    if not VALUE.fullmatch(value):
        raise BadHeaders(f"The value of {name} must be printable ASCII without spaces around it.")
