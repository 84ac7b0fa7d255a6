"""What production refuses in a write, and at which size.

https://cloud.google.com/datastore/docs/concepts/limits
"""

import re
from typing import Any

from .refusals import Refused, invalid

MAX_REQUEST_BYTES = 10 << 20
MAX_ENTITY_BYTES = (1 << 20) - 4
MAX_KEY_BYTES = 6 << 10
MAX_NAME_BYTES = 1500  # a kind, a key's name, an indexed string
MAX_UNINDEXED_BYTES = (1 << 20) - 89
MAX_PATH = 100
MAX_DEPTH = 20
MAX_LOOKUP = 1000
RESERVED = re.compile("__.*__", re.DOTALL)


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
    if any(RESERVED.fullmatch(text) for element in of.path for text in (element.kind, element.name)):
        raise invalid("kinds and names of the form __*__ are reserved and read-only.")


def entity(of: Any, *, complete: bool) -> None:
    """An entity to write. Raises Refused."""
    written_key(of.key, complete=complete)
    _properties(of, 0)
    if (size := of.ByteSize()) > MAX_ENTITY_BYTES:
        raise invalid(f"The entity is too big: {size} bytes of at most {MAX_ENTITY_BYTES}.")


def _properties(of: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise invalid(f"entity values are nested at most {MAX_DEPTH} deep.")
    for name, value in of.properties.items():
        if not name or len(name.encode()) > MAX_NAME_BYTES:
            raise invalid(f"a property name has 1 to {MAX_NAME_BYTES} bytes.")
        if RESERVED.fullmatch(name) and not (depth and name == "__key__"):
            raise invalid(f"property names of the form __*__ are reserved: {name}.")
        _value(name, value, depth)


def _value(name: str, value: Any, depth: int) -> None:
    match value.WhichOneof("value_type"):
        case "array_value":
            _array(name, value, depth)
        case "entity_value":
            _properties(value.entity_value, depth + 1)
        case "string_value":
            _size(name, len(value.string_value.encode()), indexed=not value.exclude_from_indexes)
        case "blob_value":
            _size(name, len(value.blob_value), indexed=not value.exclude_from_indexes)


def _array(name: str, value: Any, depth: int) -> None:
    if value.exclude_from_indexes:
        raise invalid(f'"exclude_from_indexes" is set on the values of an array, not on the array: {name}.')
    for item in value.array_value.values:
        if item.WhichOneof("value_type") == "array_value":
            raise invalid(f"an array holds no array: {name}.")
        _value(name, item, depth)


def _size(name: str, size: int, *, indexed: bool) -> None:
    limit = MAX_NAME_BYTES if indexed else MAX_UNINDEXED_BYTES
    if size > limit:
        raise _too_long(name, limit)


def _too_long(name: str, limit: int) -> Refused:
    return invalid(f'The value of property "{name}" is longer than {limit} bytes.')
