"""The tables of the file, and an entity in them."""

import sqlite3
from typing import Any, NamedTuple

from . import encoding
from .indexes import Composites, entries, values_of
from .messages import Entity

SCHEMA = """
CREATE TABLE IF NOT EXISTS entity (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, proto BLOB NOT NULL,
    version INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, expires INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS expiring ON entity (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS entry (entry BLOB PRIMARY KEY, entity INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
"""
SELECT = "SELECT id, proto, version, created, updated FROM entity WHERE "
INSERT = "INSERT INTO entity (key, proto, version, created, updated, expires) VALUES (?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE entity SET proto = ?, version = ?, updated = ?, expires = ? WHERE id = ?"
RESERVED = b"\0"  # before the keys of kinds like __kind__, which queries of all kinds do not find


class Stored(NamedTuple):
    """An entity's row; times are microseconds since 1970, and so is the version."""

    id: int
    proto: bytes
    version: int
    created: int
    updated: int

    def entity(self) -> Any:
        return Entity.FromString(self.proto)

    def entries(self, composites: Composites) -> set[bytes]:
        """Its index entries."""
        entity = self.entity()
        return entries(entity.key, values_of(entity), composites)


def stored_key(key: Any) -> bytes:
    """How the table knows a complete key."""
    reserved = RESERVED if key.path[-1].kind.startswith("__") else b""
    return reserved + encoding.partition(key) + encoding.path(key)


def shown(key: Any) -> str:
    """A key in an error."""
    return ", ".join(f"{element.kind}: {element.name or element.id!r}" for element in key.path)


def find(db: sqlite3.Connection, key: bytes) -> Stored | None:
    """By its stored key."""
    found = db.execute(f"{SELECT} key = ?", (key,)).fetchone()
    return Stored(*found) if found else None


def get(db: sqlite3.Connection, entity: int) -> Stored:
    """By the id that index entries hold."""
    return Stored(*db.execute(f"{SELECT} id = ?", (entity,)).fetchone())


def put(
    db: sqlite3.Connection,
    key: bytes,
    found: Stored | None,
    entity: Any,
    changed: tuple[set[bytes], set[bytes]],  # its index entries before and after
    version: int,
    expires: int | None = None,
) -> int:
    """Write an entity by its stored key, new or over the one found; how many index entries changed."""
    proto = entity.SerializeToString()
    if found:
        db.execute(UPDATE, (proto, version, version, expires, found.id))
        return put_entries(db, found.id, *changed)
    row = (key, proto, version, version, version, expires)
    return put_entries(db, db.execute(INSERT, row).lastrowid or 0, *changed)


def delete(db: sqlite3.Connection, found: Stored, composites: Composites) -> int:
    """Delete an entity and its index entries; how many."""
    db.execute("DELETE FROM entity WHERE id = ?", (found.id,))
    return put_entries(db, found.id, found.entries(composites), set())


def put_entries(db: sqlite3.Connection, entity: int, old: set[bytes], new: set[bytes]) -> int:
    """Make the index entries of an entity `new`; how many changed."""
    if gone := old - new:
        db.executemany("DELETE FROM entry WHERE entry = ?", [(entry,) for entry in gone])
    db.executemany("INSERT INTO entry VALUES (?, ?)", [(entry, entity) for entry in sorted(new - old)])
    return len(old ^ new)
