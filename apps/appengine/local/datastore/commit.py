"""Mutations: checked and encoded beside each other, applied one after the other."""

import sqlite3
from dataclasses import dataclass
from secrets import randbelow
from typing import Any

import grpc

from . import encoding, validate
from .indexes import Composites, entries
from .messages import Entity, types
from .refusals import Refused, invalid, unimplemented
from .store import put_entries, tick

MutationResult: Any = types.MutationResult.pb()
FAIL = types.Mutation.ConflictResolutionStrategy.FAIL
NON_TRANSACTIONAL = types.CommitRequest.Mode.NON_TRANSACTIONAL
FIND = "SELECT id, proto, version, created, updated FROM entity WHERE key = ?"
INSERT = "INSERT INTO entity (key, proto, version, created, updated, expires) VALUES (?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE entity SET proto = ?, version = ?, updated = ?, expires = ? WHERE id = ?"


def random_id() -> int:
    """Spread over 2**53, as production's are: none is given twice, nor one that was reserved."""
    return 1 + randbelow((1 << 53) - 1)


@dataclass
class Change:
    """A mutation, checked, with all that can be worked out before its turn."""

    operation: str  # insert, update, upsert, delete
    mutation: Any
    key: Any
    stored_key: bytes
    proto: bytes
    entries: set[bytes]
    expires: int | None
    allocated: bool


class Changes:
    """The mutations of one commit."""

    def __init__(self, request: Any, composites: Composites, expiry: str) -> None:
        """Raises Refused."""
        self._expiry = expiry
        self._composites = composites
        self._changes = [self._change(mutation, request) for mutation in request.mutations]
        keys = {change.stored_key for change in self._changes}
        if request.mode == NON_TRANSACTIONAL and len(keys) < len(self._changes):
            raise invalid(
                "a non-transactional commit may not contain multiple mutations affecting the same entity."
            )

    def _change(self, mutation: Any, request: Any) -> Change:
        operation = mutation.WhichOneof("operation")
        if operation is None:
            raise invalid("a mutation has an operation.")
        for field in ("property_mask", "property_transforms"):
            if field in {descriptor.name for descriptor, _ in mutation.ListFields()}:
                raise unimplemented(f"Mutation.{field}")
        of = getattr(mutation, operation)
        key = of if operation == "delete" else of.key
        validate.fill_partition(key, request)
        if operation == "delete":
            validate.written_key(key, complete=True)
            return Change(operation, mutation, key, stored_key(key), b"", set(), None, allocated=False)
        validate.entity(of, complete=operation == "update")
        allocated = key.path[-1].WhichOneof("id_type") is None
        if allocated:
            key.path[-1].id = random_id()
        encoded = entries(of, self._composites)
        return Change(
            operation,
            mutation,
            key,
            stored_key(key),
            of.SerializeToString(),
            encoded,
            self._expires(of),
            allocated,
        )

    def _expires(self, entity: Any) -> int | None:
        """Microseconds since 1970, if the entity has the property that says when it ends."""
        if self._expiry not in entity.properties:
            return None
        value = entity.properties[self._expiry]
        return value.timestamp_value.ToMicroseconds() if value.HasField("timestamp_value") else None

    def apply(self, db: sqlite3.Connection) -> tuple[list[Any], int, int]:
        """The result of each mutation, how many index entries changed, the version. Raises Refused."""
        version, results, updates = tick(db), [], 0
        for change in self._changes:
            result, changed = self._apply(db, change, version)
            results.append(result)
            updates += changed
        return results, updates, version

    def _apply(self, db: sqlite3.Connection, change: Change, version: int) -> tuple[Any, int]:
        found = db.execute(FIND, (change.stored_key,)).fetchone()
        if _conflicts(change.mutation, found):
            result = MutationResult(version=found[2] if found else version, conflict_detected=True)
            if found:
                result.create_time.FromMicroseconds(found[3])
                result.update_time.FromMicroseconds(found[4])
            return result, 0
        if change.operation == "insert" and found:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"entity already exists: {_shown(change.key)}")
        if change.operation == "update" and not found:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"no entity to update: {_shown(change.key)}")
        result = MutationResult(version=version, key=change.key if change.allocated else None)
        if change.operation == "delete":
            return result, self._delete(db, found)
        result.create_time.FromMicroseconds(found[3] if found else version)
        result.update_time.FromMicroseconds(version)
        return result, self._put(db, change, found, version)

    def _put(self, db: sqlite3.Connection, change: Change, found: Any, version: int) -> int:
        if found:
            db.execute(UPDATE, (change.proto, version, version, change.expires, found[0]))
            old = entries(Entity.FromString(found[1]), self._composites)
            return put_entries(db, found[0], old, change.entries)
        row = (change.stored_key, change.proto, version, version, version, change.expires)
        entity = db.execute(INSERT, row).lastrowid
        return put_entries(db, entity or 0, set(), change.entries)

    def _delete(self, db: sqlite3.Connection, found: Any) -> int:
        if not found:
            return 0
        db.execute("DELETE FROM entity WHERE id = ?", (found[0],))
        return put_entries(db, found[0], entries(Entity.FromString(found[1]), self._composites), set())


def delete_expired(db: sqlite3.Connection, composites: Composites, until: int) -> int:
    """Delete the entities whose time, in microseconds since 1970, is over; how many."""
    rows = db.execute("SELECT id, proto FROM entity WHERE expires <= ? LIMIT 500", (until,)).fetchall()
    for entity, proto in rows:
        db.execute("DELETE FROM entity WHERE id = ?", (entity,))
        put_entries(db, entity, entries(Entity.FromString(proto), composites), set())
    return len(rows)


def stored_key(key: Any) -> bytes:
    """How the table knows a complete key."""
    return encoding.partition(key) + encoding.path(key)


def _conflicts(mutation: Any, found: Any) -> bool:
    """Whether the entity is not as the client last saw it. Raises Refused when that is to fail the commit."""
    expected = mutation.WhichOneof("conflict_detection_strategy")
    if expected is None:
        return False
    if expected == "base_version":
        conflicts = bool(mutation.base_version != (found[2] if found else 0))
    else:
        conflicts = bool(mutation.update_time.ToMicroseconds() != (found[4] if found else 0))
    if conflicts and mutation.conflict_resolution_strategy == FAIL:
        raise Refused(grpc.StatusCode.ABORTED, "the entity has changed since: conflict detected.")
    return conflicts


def _shown(key: Any) -> str:
    return ", ".join(f"{element.kind}: {element.name or element.id!r}" for element in key.path)
