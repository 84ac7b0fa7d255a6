"""Put back on its way what a crash, a lost task or a dead queue left behind."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from google.cloud import ndb

from apps.core import datastore
from apps.core.datastore import Writes
from apps.deliveries import due
from apps.deliveries.attempt import queue_attempt
from apps.deliveries.models import Delivery

log = logging.getLogger(__name__)

# Deliveries of one shard in one run. What is left over is due still when the next run comes.
MOST_PER_SHARD = 200
BATCH = 25


def sweep(now: datetime | None = None) -> int:
    """Queue the next attempt of every overdue delivery. Returns how many. Cron runs it each minute.

    Reads 16 short index ranges, whose queries run at the same time. A delivery found again is waited
    for twice as long each time, in case its task is only standing in a long queue.
    """
    now = now or datetime.now(UTC)
    queries = [_overdue(shard, now) for shard in range(due.SHARDS)]
    overdue = [delivery for query in queries for delivery in query.get_result()]
    for start in range(0, len(overdue), BATCH):
        batch = overdue[start : start + BATCH]
        queued = [delivery for delivery in batch if queue_attempt(delivery)]
        _wait_longer(queued, now)
    _log(overdue, now)
    return len(overdue)


def _log(overdue: Sequence[Delivery], now: datetime) -> None:
    """One line a run, a warning when something was stranded. Metrics are made from it: docs/metrics.md."""
    planned = [one.next_attempt_at for one in overdue if one.next_attempt_at]
    oldest = round((now - min(planned)).total_seconds()) if planned else 0
    fields = {"event": "sweep", "overdue": len(overdue), "oldest_overdue_s": oldest}
    level = logging.WARNING if overdue else logging.INFO
    log.log(level, "Swept %d overdue deliveries", len(overdue), extra=fields)


def _overdue(shard: int, now: datetime) -> ndb.Future:
    low, high = due.overdue_range(shard, now)
    bucket: Any = Delivery.due  # on the class an NDB property, which compares to a filter
    query = Delivery.query(bucket >= low, bucket < high).order(bucket)
    return query.fetch_async(MOST_PER_SHARD)


def _wait_longer(queued: Sequence[Delivery], now: datetime) -> None:
    """Move the due times on, of those that nobody has changed since they were read."""
    seen = {delivery.key: delivery.due for delivery in queued}

    def step(entities: list[Delivery | None]) -> tuple[Writes, None]:
        unchanged = [one for one in entities if one and one.due == seen[one.key]]
        for delivery in unchanged:
            delivery.sweep_count += 1
            delivery.due = due.bucket(delivery.key.id(), now, delivery.sweep_count)
        return Writes(put=unchanged), None

    if queued:
        datastore.transact(list(seen), step)
