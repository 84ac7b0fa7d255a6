"""Ids that sort by the time they were made: `msg_2Zk1cvJtBnrb0GcoQfyqBXWbOqR`.

A KSUID (https://github.com/segmentio/ksuid) with milliseconds, as Svix makes them: 4 bytes of seconds
since 2014-05-13T16:53:20Z, 1 byte of milliseconds divided by 4, 15 random bytes, 27 digits in base 62.
Their byte order is their time order, to within 4 ms.
"""

import secrets
from datetime import UTC, datetime, timedelta

EPOCH = datetime.fromtimestamp(1_400_000_000, UTC)
END = EPOCH + timedelta(seconds=2**32)  # 2150-06-19
TICK = timedelta(milliseconds=4)
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VALUES = {digit: value for value, digit in enumerate(ALPHABET)}
LENGTH = 27
RANDOM_BITS = 15 * 8
BITS = 160


def new(prefix: str, at: datetime | None = None) -> str:
    """An id made now, or at `at`. Raises ValueError for a time without a zone, before 2014 or after 2150."""
    at = at or datetime.now(UTC)
    if not EPOCH <= aware(at) < END:
        raise ValueError(f"{at} is outside what an id can hold ({EPOCH} to {END}).")
    return f"{prefix}_{encode(first_at(at) + secrets.randbits(RANDOM_BITS))}"


def bounds(prefix: str, at: datetime) -> str:
    """The smallest id of `at`: ids made earlier sort before it, all others do not (to within 4 ms).

    Times no id can hold give the smallest or the largest bound there is. Raises ValueError for a time
    without a zone.
    """
    return f"{prefix}_{encode(first_at(min(max(aware(at), EPOCH), END - TICK)))}"


def time_of(id: str) -> datetime:  # noqa: A002  the word for it
    """When the id was made, in UTC, to within 4 ms. Raises ValueError for what is no id."""
    head = decode(id.rpartition("_")[2]) >> RANDOM_BITS
    return EPOCH + timedelta(seconds=head >> 8) + (head & 0xFF) * TICK


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` is an id with this prefix."""
    try:
        decode(text.removeprefix(f"{prefix}_"))
    except ValueError:
        return False
    return text.startswith(f"{prefix}_")


def aware(at: datetime) -> datetime:
    """`at`, refused without a time zone: it would mean another moment on another machine."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone.")
    return at


def first_at(at: datetime) -> int:
    """The smallest KSUID of that time, as a number."""
    seconds, rest = divmod(at - EPOCH, timedelta(seconds=1))
    return (seconds << 8 | rest // TICK) << RANDOM_BITS


def encode(number: int) -> str:
    """A 160-bit number in 27 digits of base 62."""
    digits = []
    for _ in range(LENGTH):
        number, value = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[value])
    return "".join(reversed(digits))


def decode(text: str) -> int:
    """The number that 27 digits of base 62 stand for. Raises ValueError for anything else."""
    number = 0
    try:
        for digit in text:
            number = number * len(ALPHABET) + VALUES[digit]
    except KeyError:
        raise ValueError(f"{text!r} is no KSUID.") from None
    if len(text) != LENGTH or number >> BITS:
        raise ValueError(f"{text!r} is no KSUID.")
    return number
