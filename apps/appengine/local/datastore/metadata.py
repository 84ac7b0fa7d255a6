"""Which namespaces, kinds and properties there are, as entities of the kinds reserved for that.

They are written beside the first entity that has one, and stay when the last is gone, until /reset.
https://cloud.google.com/datastore/docs/concepts/metadataqueries
"""

import sqlite3
from typing import Any

from . import encoding, table
from .indexes import Values, entries, values_of
from .messages import Entity, Key

NAMESPACE, KIND, PROPERTY = "__namespace__", "__kind__", "__property__"
REPRESENTATIONS = {
    encoding.NULL: "NULL",
    encoding.FIXED: "INT64",
    encoding.BOOLEAN: "BOOLEAN",
    encoding.BYTES: "STRING",
    encoding.FLOAT: "DOUBLE",
    encoding.POINT: "POINT",
    encoding.KEY: "REFERENCE",
}

type Known = set[tuple[bytes, str, str, bytes]]


def note(db: sqlite3.Connection, known: Known, key: Any, values: Values, version: int) -> None:
    """Write what an entity's key and values tell that is not `known` yet."""
    partition, kind = encoding.partition(key), key.path[-1].kind
    tags = {(name, value[:1]) for name, encoded in values.items() for value in encoded}
    for name, tag in {("", b""), *tags}:
        if (partition, kind, name, tag) in known:
            continue
        known.add((partition, kind, name, tag))
        if name:
            _note_property(db, _key(key, (KIND, kind), (PROPERTY, name)), REPRESENTATIONS[tag], version)
        else:
            _put(db, Entity(key=_key(key, (KIND, kind))), version)
            space = _key(key, (NAMESPACE, key.partition_id.namespace_id or 1))
            space.partition_id.namespace_id = ""
            _put(db, Entity(key=space), version)


def _note_property(db: sqlite3.Connection, key: Any, representation: str, version: int) -> None:
    found = table.find(db, table.stored_key(key))
    entity = found.entity() if found else Entity(key=key)
    values = entity.properties["property_representation"].array_value.values
    if representation not in {value.string_value for value in values}:
        values.add(string_value=representation)
    _put(db, entity, version)


def _key(beside: Any, *path: tuple[str, str | int]) -> Any:
    key = Key(partition_id=beside.partition_id)
    for kind, name in path:
        key.path.add(kind=kind, **{"id" if isinstance(name, int) else "name": name})
    return key


def _put(db: sqlite3.Connection, entity: Any, version: int) -> None:
    stored_key = table.stored_key(entity.key)
    found = table.find(db, stored_key)
    old = found.entries({}) if found else set()
    table.put(db, stored_key, found, entity, (old, entries(entity.key, values_of(entity), {})), version)
