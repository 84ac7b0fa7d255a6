"""When the sweep takes a delivery for stranded, as an indexed value that does not make a hotspot.

The value is `shard|slot`: 16 shards, by the delivery's key, so that neighbours in time are not
neighbours in the index. It is cleared when nothing more is to happen, so the index holds only what
is pending, and the sweep reads 16 short ranges of it, never everything.
"""

from datetime import datetime, timedelta
from zlib import crc32

SHARDS = 16
# An attempt takes 30 s at most. With a sweep a minute, at whatever second of it, what a crash left
# behind is on its way again within two minutes: 45 s until due, up to 10 s until that slot is over,
# and up to 60 s until the sweep.
GRACE = timedelta(seconds=45)
SLOT_S = 10
LONGEST_WAIT = timedelta(hours=1)
ENOUGH_DOUBLINGS = 8  # to reach LONGEST_WAIT; a queue may be dead for longer than a power can be taken of


def bucket(key_name: str, expected_at: datetime, sweep_count: int = 0) -> str:
    """The `due` of a delivery whose next attempt is expected at `expected_at` (UTC).

    Each sweep that found it in vain doubles the wait: a long queue is not fed the same work each minute.
    """
    wait = min(GRACE * 2 ** min(sweep_count, ENOUGH_DOUBLINGS), LONGEST_WAIT)
    return f"{shard_of(key_name):02d}|{_slot(expected_at + wait):010d}"


def shard_of(key_name: str) -> int:
    return crc32(key_name.encode()) % SHARDS


def overdue_range(shard: int, now: datetime) -> tuple[str, str]:
    """The half-open range [low, high) of buckets of `shard` whose slot is over."""
    return f"{shard:02d}|", f"{shard:02d}|{_slot(now):010d}"


def _slot(at: datetime) -> int:
    return int(at.timestamp() // SLOT_S)
