"""A message's payload for people to read."""

import json
from dataclasses import dataclass

from apps.deliveries import payloads
from apps.deliveries.models import Message


@dataclass(frozen=True)
class Readable:
    """Indented text, and how many bytes were accepted."""

    text: str
    bytes: int


def readable(message: Message) -> Readable | None:
    """The payload, indented where it is JSON; None when it was expunged or storage does not give it back."""
    try:
        body = payloads.read(message)
    except (OSError, payloads.Expunged):
        return None
    return Readable(_indented(body.decode(errors="replace")), len(body))


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):  # no JSON, a number too long to read, or nested too deep
        return text
