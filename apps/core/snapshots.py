"""Snapshots of SQL rows in Redis that can not be stale.

A row that is snapshotted carries a `generation`, a random token that every change replaces. A
snapshot is valid only while it bears the generation that Redis holds for its name:

- a writer changes the row's generation inside its transaction, which takes the row's lock, and puts
  the new one into Redis *before* the commit;
- a reader fills a snapshot only with rows whose generation is the one in Redis; where Redis has
  forgotten it, the reader puts it back under the row's lock, so no writer is between its two steps.

So between the writer's two steps readers find no valid snapshot and can make none: they read SQL.
A writer that rolled back leaves Redis on a generation that no row bears: readers go to SQL until it
expires, which is slow and right. With Redis configured but out of reach, changes are refused (a
stale snapshot might outlive the outage) and reads go to SQL.

Releases that run side by side share the generations, so each one's changes end the other's snapshots.
They share a snapshot only where its shape is the same to both.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, models, transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

SNAPSHOT_S = 300
GENERATION_S = 900
NO_ANSWER = (RedisError, OSError)  # what django-redis raises, which unwraps its own exception


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
        transaction.on_commit(_committed)
        yield


def shape_of(*kinds: Any) -> str:
    """Names what is made of these dataclasses: another name as soon as a field of them is another."""
    described = [(kind.__name__, [(field.name, str(field.type)) for field in fields(kind)]) for kind in kinds]
    return hashlib.sha256(repr(described).encode()).hexdigest()[:8]


def read[T](row: Snapshotted, load: Callable[[], tuple[str, T] | None], *, shape: str) -> T | None:
    """The value of `row`: from its snapshot, or else from `load`, which reads SQL.

    Only the key of `row` is used. `load` returns (generation, value), or None where the row does not
    exist, both from one statement: as of one moment. Values are plain JSON. `shape` names their form:
    another release, to which it has another name, neither reads nor overwrites them.
    """
    if not settings.REDIS_HOST or _is_changing():
        return _value(load())
    name = row.snapshot_name
    try:
        known = cache.get_many([_generation_key(name), _snapshot_key(name, shape)])
    except NO_ANSWER:
        log.warning("Redis does not answer: %s is read from SQL", name)
        return _value(load())
    current, snapshot = known.get(_generation_key(name)), known.get(_snapshot_key(name, shape))
    if current and snapshot and snapshot["generation"] == current:
        found: T = snapshot["value"]
        return found
    loaded = load()
    if loaded:
        _fill(row, shape, current, *loaded)
    return _value(loaded)


def hint(name: str) -> str | None:
    """What `remember` kept, if anything. It may be stale: check it against what it leads to."""
    if not settings.REDIS_HOST:
        return None
    try:
        kept: str | None = cache.get(f"hint:{name}")
        return kept
    except NO_ANSWER:
        return None


def remember(name: str, value: str) -> None:
    """Keep a hint for SNAPSHOT_S, if Redis is there."""
    if settings.REDIS_HOST:
        with suppress(*NO_ANSWER):
            cache.set(f"hint:{name}", value, SNAPSHOT_S)


def _value[T](loaded: tuple[str, T] | None) -> T | None:
    return loaded[1] if loaded else None


def _fill(row: Snapshotted, shape: str, current: str | None, generation: str, value: Any) -> None:
    name = row.snapshot_name
    try:
        if current == generation or (current is None and _restore(row, generation)):
            cache.set(_snapshot_key(name, shape), {"generation": generation, "value": value}, SNAPSHOT_S)
    except (*NO_ANSWER, DatabaseError) as error:
        log.warning("%s keeps no snapshot: %s", name, error)


def _restore(row: Snapshotted, generation: str) -> bool:
    """Tell Redis the row's generation again, unless it has changed or is being changed."""
    rows = type(row)._default_manager.select_for_update(skip_locked=True, no_key=True)
    with transaction.atomic():
        unchanged = rows.filter(pk=row.pk, generation=generation).values_list("pk")
        return bool(unchanged) and cache.add(_generation_key(row.snapshot_name), generation, GENERATION_S)


def _is_changing() -> bool:
    """Whether this connection has changes that are not committed: they may not show in a snapshot yet."""
    pending = transaction.get_connection().run_on_commit
    return any(function is _committed for _, function, _ in pending)


def _committed() -> None:
    """Nothing is left to do. Django forgets it with the transaction, however that ends."""


def _publish(row: Snapshotted) -> None:
    if not settings.REDIS_HOST:
        return
    try:
        cache.set(_generation_key(row.snapshot_name), row.generation, GENERATION_S)
    except NO_ANSWER as error:
        raise Unavailable("Redis does not answer; nothing was changed. Try again.") from error


def _generation_key(name: str) -> str:
    return f"generation:{name}"


def _snapshot_key(name: str, shape: str) -> str:
    return f"snapshot:{name}:{shape}"
