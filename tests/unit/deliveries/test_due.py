from collections import Counter
from datetime import UTC, datetime, timedelta

from apps.core import ids
from apps.deliveries import due

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = "app_1~msg_1~ep_1"
SECOND = timedelta(seconds=1)


def is_overdue(bucket: str, now: datetime) -> bool:
    low, high = due.overdue_range(due.shard_of(KEY), now)
    return low <= bucket < high


def overdue_after(bucket: str, expected_at: datetime) -> timedelta:
    """How long after `expected_at` a sweep finds the delivery, at the earliest."""
    seconds = range(int(2 * due.LONGEST_WAIT.total_seconds()))
    return next(second * SECOND for second in seconds if is_overdue(bucket, expected_at + second * SECOND))


def test_nothing_is_overdue_while_an_attempt_may_be_in_flight() -> None:
    for second in range(120):
        expected_at = NOON + second * SECOND
        assert overdue_after(due.bucket(KEY, expected_at), expected_at) > timedelta(seconds=30)


def test_invariant_1_a_sweep_a_minute_finds_what_is_stranded_within_two_minutes() -> None:
    """Whatever second of the minute the sweep runs at, and whenever the attempt was expected."""
    for second in range(120):
        expected_at = NOON + second * SECOND
        next_sweep_at_worst = overdue_after(due.bucket(KEY, expected_at), expected_at) + timedelta(minutes=1)
        assert next_sweep_at_worst <= timedelta(minutes=2)


def test_once_overdue_a_delivery_stays_overdue() -> None:
    bucket = due.bucket(KEY, NOON)
    first = NOON + overdue_after(bucket, NOON)
    assert all(is_overdue(bucket, first + hours * timedelta(hours=1)) for hours in range(24 * 90))


def test_the_ranges_of_all_shards_together_hold_a_delivery_once() -> None:
    bucket, now = due.bucket(KEY, NOON), NOON + timedelta(days=1)
    ranges = [due.overdue_range(shard, now) for shard in range(due.SHARDS)]
    assert sum(low <= bucket < high for low, high in ranges) == 1


def test_buckets_sort_by_time_within_a_shard() -> None:
    buckets = [due.bucket(KEY, NOON + days * timedelta(days=10)) for days in range(400)]
    assert buckets == sorted(set(buckets))


def test_buckets_spread_roughly_evenly_over_the_shards() -> None:
    application_id = ids.new("app")
    keys = [f"{application_id}~{ids.new('msg')}~{ids.new('ep')}" for _ in range(16_000)]
    counts = Counter(due.bucket(key, NOON).partition("|")[0] for key in keys)
    assert len(counts) == due.SHARDS
    assert min(counts.values()) > 800
    assert max(counts.values()) < 1200


def test_each_sweep_in_vain_doubles_the_wait_up_to_an_hour() -> None:
    waits = [overdue_after(due.bucket(KEY, NOON, count), NOON) for count in range(9)]
    for count, wait in enumerate(waits):
        exact = min(due.GRACE * 2**count, timedelta(hours=1))
        assert exact <= wait <= exact + timedelta(minutes=1)


def test_a_queue_that_is_dead_for_months_does_not_break_the_sweep() -> None:
    for count in (30, 63, 1000, 100_000):
        assert due.bucket(KEY, NOON, count) == due.bucket(KEY, NOON, 10)
