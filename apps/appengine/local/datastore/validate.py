"""What production refuses in a write, and at which size.

https://cloud.google.com/datastore/docs/concepts/limits
"""

import re
from functools import lru_cache
from typing import Any

from apps.appengine.local.refusals import Refused, invalid

MAX_REQUEST_BYTES = 10 << 20
MAX_ENTITY_BYTES = (1 << 20) - 4
MAX_KEY_BYTES = 6 << 10
MAX_NAME_BYTES = 1500  # a kind, a key's name, an indexed string
MAX_UNINDEXED_BYTES = (1 << 20) - 89
MAX_PATH = 100
MAX_DEPTH = 20
MAX_LOOKUP = 1000
RESERVED = re.compile("__.*__", re.DOTALL)
NAMESPACE = re.compile("[0-9A-Za-z._-]{0,100}")
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # the years 1 to 9999


def request_size(request: Any) -> None:
    """Raises Refused."""
    if request.ByteSize() > MAX_REQUEST_BYTES:
        raise invalid(f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")


def fill_partition(key: Any, request: Any) -> None:
    """A key without project and database is in those of the request. Raises Refused: it names others."""
    of = key.partition_id
    of.project_id = of.project_id or request.project_id
    of.database_id = of.database_id or request.database_id
    if (of.project_id, of.database_id) != (request.project_id, request.database_id):
        raise invalid(
            f"mismatched databases within request: {request.project_id}|{request.database_id} "
            f"vs. {of.project_id}|{of.database_id}."
        )
    if not NAMESPACE.fullmatch(of.namespace_id):
        raise invalid(f"a namespace matches {NAMESPACE.pattern}, unlike {of.namespace_id!r}.")


def key(of: Any, *, complete: bool = True) -> None:
    """A key to read or to write. Raises Refused."""
    if not of.path:
        raise invalid("a key path has at least one element.")
    if len(of.path) > MAX_PATH:
        raise invalid(f"a key path has at most {MAX_PATH} elements.")
    for element in of.path:
        _element(element)
    must_be_complete = of.path if complete else of.path[:-1]
    if any(element.WhichOneof("id_type") is None for element in must_be_complete):
        raise invalid("a key path is complete but for the last element of a new entity's key.")
    if of.ByteSize() > MAX_KEY_BYTES:
        raise invalid(f"a key has at most {MAX_KEY_BYTES} bytes.")


def _element(of: Any) -> None:
    for what, text in (("kind", of.kind), ("name", of.name)):
        if len(text.encode()) > MAX_NAME_BYTES:
            raise invalid(f"the {what} of a key path element is longer than {MAX_NAME_BYTES} bytes.")
    if not of.kind:
        raise invalid("the kind of a key path element is not empty.")
    if of.WhichOneof("id_type") == "name" and not of.name:
        raise invalid("the name of a key path element is not empty.")
    if of.WhichOneof("id_type") == "id" and not of.id:
        raise invalid("the id of a key path element is not zero.")


def written_key(of: Any, *, complete: bool) -> None:
    """Raises Refused, also for what only the Datastore itself writes."""
    key(of, complete=complete)
    names = [text for element in of.path for text in (element.kind, element.name)]
    if any(map(RESERVED.fullmatch, [of.partition_id.namespace_id, *names])):
        raise invalid("namespaces, kinds and names of the form __*__ are reserved and read-only.")


def entity(of: Any, *, complete: bool) -> None:
    """An entity to write. Raises Refused."""
    written_key(of.key, complete=complete)
    _properties(of.key.partition_id, of, 0)
    if (size := of.ByteSize()) > MAX_ENTITY_BYTES:
        raise invalid(f"The entity is too big: {size} bytes of at most {MAX_ENTITY_BYTES}.")


def _properties(home: Any, of: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise invalid(f"entity values are nested at most {MAX_DEPTH} deep.")
    for name, value in of.properties.items():
        _property_name(name, nested=depth > 0)
        _value(home, name, value, depth)


@lru_cache(maxsize=4096)  # the same few, again and again
def _property_name(name: str, *, nested: bool) -> None:
    if not name or len(name.encode()) > MAX_NAME_BYTES:
        raise invalid(f"a property name has 1 to {MAX_NAME_BYTES} bytes.")
    if RESERVED.fullmatch(name) and not (nested and name == "__key__"):
        raise invalid(f"property names of the form __*__ are reserved: {name}.")


def _value(home: Any, name: str, value: Any, depth: int) -> None:
    match value.WhichOneof("value_type"):
        case "array_value":
            _array(home, name, value, depth)
        case "entity_value":
            _properties(home, value.entity_value, depth + 1)
        case _:
            _plain(home, name, value, MAX_UNINDEXED_BYTES if value.exclude_from_indexes else MAX_NAME_BYTES)


def filter_value(home: Any, name: str, value: Any) -> None:
    """What a filter compares with, in the partition `home`. Raises Refused."""
    for item in value.array_value.values if value.HasField("array_value") else [value]:
        if item.exclude_from_indexes:
            raise invalid(f"a filter value must be indexed: {name}.")
        _plain(home, name, item, MAX_NAME_BYTES)


def _plain(home: Any, name: str, value: Any, limit: int) -> None:
    match value.WhichOneof("value_type"):
        case None:
            raise invalid(f"a value has a type: {name}.")
        case "key_value":
            key(value.key_value)
            if not value.key_value.partition_id.project_id:  # the entity's own; others are allowed
                value.key_value.partition_id.project_id = home.project_id
                value.key_value.partition_id.database_id = home.database_id
        case "geo_point_value":
            _point(name, value.geo_point_value)
        case "timestamp_value":
            time(name, value.timestamp_value)
        case "string_value" if len(value.string_value.encode()) > limit:
            raise _too_long(name, limit)
        case "blob_value" if len(value.blob_value) > limit:
            raise _too_long(name, limit)


def _point(name: str, of: Any) -> None:
    if not (abs(of.latitude) <= 90 and abs(of.longitude) <= 180):
        raise invalid(f"a latitude is within 90 degrees and a longitude within 180: {name}.")


def time(name: str, of: Any) -> None:
    """A time, rounded down to the microsecond as it is kept. Raises Refused."""
    if not (FIRST_SECOND <= of.seconds <= LAST_SECOND and 0 <= of.nanos < 10**9):
        raise invalid(f"a time is in the years 1 to 9999: {name}.")
    if of.nanos % 1000:
        of.nanos -= of.nanos % 1000


def _array(home: Any, name: str, value: Any, depth: int) -> None:
    if value.exclude_from_indexes:
        raise invalid(f'"exclude_from_indexes" is set on the values of an array, not on the array: {name}.')
    for item in value.array_value.values:
        if item.WhichOneof("value_type") == "array_value":
            raise invalid(f"an array holds no array: {name}.")
        _value(home, name, item, depth)


def _too_long(name: str, limit: int) -> Refused:
    return invalid(f'The value of property "{name}" is longer than {limit} bytes.')
