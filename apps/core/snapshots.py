"""Snapshots of SQL rows in Redis that can not be stale.

A row that is snapshotted carries a `generation`, a random token that every change replaces. A
snapshot is valid only while it bears the generation that Redis holds for its name:

- a writer changes the row's generation inside its transaction, which takes the row's lock, and puts
  the new one into Redis *before* the commit;
- a reader fills a snapshot only with rows whose generation is the one in Redis.

So between the writer's two steps readers find no valid snapshot and can make none: they read SQL.
A writer that rolled back leaves Redis on a generation that no row bears: readers go to SQL until it
expires, which is slow and right. With Redis configured but out of reach, changes are refused (a
stale snapshot might outlive the outage) and reads go to SQL.
"""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from django.conf import settings
from django.core.cache import cache
from django.db import models, transaction
from django_redis.exceptions import ConnectionInterrupted

log = logging.getLogger(__name__)

SNAPSHOT_S = 300
# Longer than any request may take (App Engine: 10 minutes), so that no writer commits after it.
GENERATION_S = 900


class Unavailable(Exception):
    """Redis is configured but does not answer, so a change of configuration was refused."""


def new_generation() -> str:
    return secrets.token_hex(8)


class Snapshotted(models.Model):
    """A row of which Redis may hold snapshots. Change it inside `change(row)` only."""

    generation = models.CharField(max_length=16, default=new_generation, editable=False)

    class Meta:
        abstract = True

    @property
    def snapshot_name(self) -> str:
        """Names the row's snapshot in Redis; never changes for a row."""
        return f"{self._meta.label_lower}:{self.pk}"


@contextmanager
def change(row: Snapshotted) -> Iterator[None]:
    """Make changes that a snapshot of `row` shows, in a transaction. Raises Unavailable, changing nothing."""
    with transaction.atomic():
        row.generation = new_generation()
        type(row)._default_manager.filter(pk=row.pk).update(generation=row.generation)
        _publish(row)
        yield


def read[T](name: str, load: Callable[[], tuple[str, T] | None]) -> T | None:
    """The value named `name`: from its snapshot, or else from `load`, which reads SQL.

    `load` returns (generation, value), or None where the row does not exist, and must read the row
    that bears the generation before the rows that hang on it. Values are plain JSON.
    """
    if not settings.REDIS_HOST:
        loaded = load()
        return loaded[1] if loaded else None
    try:
        known = cache.get_many([_generation_key(name), _snapshot_key(name)])
    except ConnectionInterrupted:
        log.warning("Redis does not answer: %s is read from SQL", name)
        loaded = load()
        return loaded[1] if loaded else None
    current = known.get(_generation_key(name))
    if current and (snapshot := known.get(_snapshot_key(name))) and snapshot["generation"] == current:
        value: T = snapshot["value"]
        return value
    loaded = load()
    if loaded:
        _fill(name, current, *loaded)
    return loaded[1] if loaded else None


def hint(name: str) -> str | None:
    """What `remember` kept, if anything. It may be stale: check it against what it leads to."""
    if not settings.REDIS_HOST:
        return None
    try:
        return cast(str | None, cache.get(f"hint:{name}"))
    except ConnectionInterrupted:
        return None


def remember(name: str, value: str) -> None:
    """Keep a hint for SNAPSHOT_S, if Redis is there."""
    if settings.REDIS_HOST:
        with suppress(ConnectionInterrupted):
            cache.set(f"hint:{name}", value, SNAPSHOT_S)


def _fill(name: str, current: str | None, generation: str, value: Any) -> None:
    try:
        if current is None and cache.add(_generation_key(name), generation, GENERATION_S):
            current = generation
        if current == generation:
            cache.set(_snapshot_key(name), {"generation": generation, "value": value}, SNAPSHOT_S)
    except ConnectionInterrupted:
        log.warning("Redis does not answer: %s keeps no snapshot", name)


def _publish(row: Snapshotted) -> None:
    if not settings.REDIS_HOST:
        return
    try:
        cache.set(_generation_key(row.snapshot_name), row.generation, GENERATION_S)
    except ConnectionInterrupted as error:
        raise Unavailable("Redis does not answer; nothing was changed. Try again.") from error


def _generation_key(name: str) -> str:
    return f"generation:{name}"


def _snapshot_key(name: str) -> str:
    return f"snapshot:{name}"
