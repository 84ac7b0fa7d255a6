"""Mutations: checked and encoded beside each other, applied one after the other."""

import sqlite3
from dataclasses import dataclass, field
from secrets import randbelow
from typing import Any

import grpc

from apps.appengine.local.refusals import Refused, invalid, refuse_fields

from . import metadata, table, validate
from .indexes import Values, entries, values_of
from .messages import types
from .store import Store, composites_of, tick
from .table import Stored

MutationResult: Any = types.MutationResult.pb()
FAIL = types.Mutation.ConflictResolutionStrategy.FAIL
NOT_IN_SEQUENCE = {("insert", "insert"), ("update", "insert"), ("upsert", "insert"), ("delete", "update")}
NON_TRANSACTIONAL = types.CommitRequest.Mode.NON_TRANSACTIONAL


def random_id() -> int:
    """Spread over 2**53, as production's are: none is given twice, nor one that was reserved."""
    return 1 + randbelow((1 << 53) - 1)


@dataclass
class Change:
    """A mutation, checked, with what can be worked out before its turn."""

    mutation: Any
    key: Any
    stored_key: bytes
    allocated: bool = False
    values: Values = field(default_factory=dict)
    entries: set[bytes] = field(default_factory=set)

    @property
    def operation(self) -> str:
        """insert, update, upsert or delete."""
        return str(self.mutation.WhichOneof("operation"))


class Commit:
    """The mutations of one commit."""

    def __init__(self, request: Any, store: Store) -> None:
        """Raises Refused."""
        self._store = store
        self._composites = store.composites
        self._changes = [self._change(mutation, request) for mutation in request.mutations]
        self._check_sequences(transactional=request.mode != NON_TRANSACTIONAL)

    def _check_sequences(self, *, transactional: bool) -> None:
        """What may not be done to one entity in one commit (CommitRequest.mutations)."""
        seen: dict[bytes, list[Change]] = {}
        for change in self._changes:
            earlier = seen.setdefault(change.stored_key, [])
            if earlier and not transactional:
                raise invalid("a non-transactional commit has no two mutations that affect the same entity.")
            if earlier and change.mutation.base_version not in (0, earlier[0].mutation.base_version):
                raise invalid("mutations for the same entity must have the same base version.")
            sequence = (earlier[-1].operation if earlier else "", change.operation)
            if sequence in NOT_IN_SEQUENCE:
                raise invalid(f"cannot {' then '.join(sequence)} an entity in the same request.")
            earlier.append(change)

    def _change(self, mutation: Any, request: Any) -> Change:
        operation = mutation.WhichOneof("operation")
        if operation is None:
            raise invalid("a mutation is an insert, an update, an upsert or a delete.")
        refuse_fields(mutation, "property_mask", "property_transforms")
        if operation == "insert" and mutation.base_version > 0:
            raise invalid("cannot insert an entity with a base version greater than zero.")
        validate.time("update_time", mutation.update_time)
        of = getattr(mutation, operation)
        key = of if operation == "delete" else of.key
        validate.fill_partition(key, request)
        if operation == "delete":
            validate.written_key(key, complete=True)
            return Change(mutation, key, table.stored_key(key))
        validate.entity(of, complete=operation == "update")
        allocated = key.path[-1].WhichOneof("id_type") is None
        if allocated:
            key.path[-1].id = random_id()
        values = values_of(of)
        changed = entries(key, values, self._composites)
        return Change(mutation, key, table.stored_key(key), allocated, values, changed)

    def apply(self, db: sqlite3.Connection) -> tuple[list[Any], int, int]:
        """The result of each mutation, how many index entries changed, the version. Raises Refused."""
        if self._composites is not (current := composites_of(db)):  # index.yaml has changed meanwhile
            self._composites = current
            for change in self._changes:
                change.entries = entries(change.key, change.values, self._composites)
        version, results, updates = tick(db), [], 0
        before: dict[bytes, Stored | None] = {}
        for change in self._changes:
            result, changed = self._apply(db, change, version, before)
            results.append(result)
            updates += changed
        return results, updates, version

    def _apply(
        self, db: sqlite3.Connection, change: Change, version: int, before: dict[bytes, Stored | None]
    ) -> tuple[Any, int]:
        """`before` keeps what was there before the commit: that is what base versions are compared with."""
        found = table.find(db, change.stored_key)
        if _conflicts(change.mutation, before.setdefault(change.stored_key, found)):
            return _result(found.version if found else version, found, conflict_detected=True), 0
        if change.operation == "insert" and found:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"entity already exists: {table.shown(change.key)}")
        if change.operation == "update" and not found:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"no entity to update: {table.shown(change.key)}")
        if change.operation == "delete":
            return _result(version, None), table.delete(db, found, self._composites) if found else 0
        entity = getattr(change.mutation, change.operation)
        old = found.entries(self._composites) if found else set()
        expires = self._store.expires(entity)
        updates = table.put(db, change.stored_key, found, entity, (old, change.entries), version, expires)
        metadata.note(db, self._store.known, change.key, change.values, version)
        written = Stored(0, b"", version, found.created if found else version, version)
        return _result(version, written, key=change.key if change.allocated else None), updates


def _result(version: int, stored: Stored | None, **fields: Any) -> Any:
    result = MutationResult(version=version, **fields)
    if stored:
        result.create_time.FromMicroseconds(stored.created)
        result.update_time.FromMicroseconds(stored.updated)
    return result


def delete_expired(db: sqlite3.Connection, until: int) -> int:
    """Delete entities whose time, in microseconds since 1970, is over, 500 at most; how many."""
    found = [Stored(*row) for row in db.execute(f"{table.SELECT} expires <= ? LIMIT 500", (until,))]
    for stored in found:
        table.delete(db, stored, composites_of(db))
    return len(found)


def _conflicts(mutation: Any, found: Stored | None) -> bool:
    """Whether the entity is not as the client last saw it. Raises Refused when that is to fail the commit."""
    strategy = mutation.WhichOneof("conflict_detection_strategy")
    if strategy is None:
        return False
    version, updated = (found.version, found.updated) if found else (0, 0)
    if strategy == "base_version":
        expected, stored = mutation.base_version, version
    else:
        expected, stored = mutation.update_time.ToMicroseconds(), updated
    if expected != stored and mutation.conflict_resolution_strategy == FAIL:
        raise Refused(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"the stored version ({stored}) does not match the required base version ({expected}).",
        )
    return bool(expected != stored)
