"""When the next automatic attempt is made. Pure."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(seconds=10**9)  # 32 years: more than anybody means, less than overflows


def next_delay(
    made: int, schedule: Sequence[timedelta], retry_after: timedelta | None = None
) -> timedelta | None:
    """How long after `made` automatic attempts the next one follows, None when the schedule is exhausted.

    Each delay is jittered by up to 20 %, so that what failed together does not come back together.
    What the receiver asks for with Retry-After counts between one and two times the planned delay.
    """
    if made >= len(schedule):
        return None
    planned = schedule[made] * random.uniform(1 - JITTER, 1 + JITTER)
    if retry_after is None:
        return planned
    return min(max(retry_after, planned), 2 * planned)


def parse_retry_after(value: str, now: datetime) -> timedelta | None:
    """A Retry-After header, seconds or an HTTP date (RFC 9110, 10.2.3). None for nonsense."""
    if value.isascii() and value.isdigit():
        digits = value.lstrip("0")  # int() refuses thousands of them
        return timedelta(seconds=int(digits or 0)) if len(digits) < 10 else LONGEST_RETRY_AFTER
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(at.replace(tzinfo=at.tzinfo or UTC) - now, timedelta(0))
