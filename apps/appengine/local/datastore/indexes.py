"""Which entries an entity has in which indexes.

An entry is the index's digest, then the encoded values of its properties, then the entity's path. As in
production each kind has an index by key, and one ascending and one descending for each property; the
others are those of index.yaml.
https://cloud.google.com/datastore/docs/concepts/indexes
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import yaml

from apps.appengine.local.refusals import invalid

from . import encoding

KEY = "__key__"
MAX_ENTRIES = 20_000
MAX_COMPOSITE_BYTES = 2 << 20

Values = dict[str, set[bytes]]  # encoded, by property
Properties = tuple[tuple[str, bool], ...]  # names, each with whether it descends


@dataclass(frozen=True)
class Index:
    """An index of a kind. Every index ends with the key, ascending: that is left out unless it descends."""

    kind: str
    properties: Properties = ()
    ancestor: bool = False

    def as_yaml(self) -> str:
        """Its entry in index.yaml."""
        properties = [
            {"name": name} | ({"direction": "desc"} if down else {}) for name, down in self.properties
        ]
        entry = (
            {"kind": self.kind} | ({"ancestor": True} if self.ancestor else {}) | {"properties": properties}
        )
        text = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=math.inf)
        return text.replace("\n  ancestor: true\n", "\n  ancestor: yes\n", 1)


Composites = Mapping[str, tuple[Index, ...]]  # by kind


def as_yaml(composites: Composites) -> str:
    """What `parse` reads."""
    return "indexes:\n" + "".join(index.as_yaml() for of_kind in composites.values() for index in of_kind)


@lru_cache
def parse(text: str) -> Composites:
    """The composite indexes of an index.yaml. Raises ValueError: what is wrong with it."""
    by_kind: dict[str, tuple[Index, ...]] = {}
    try:
        listed = (yaml.safe_load(text) or {}).get("indexes") or []
        for index in map(_index, listed):
            by_kind[index.kind] = (*by_kind.get(index.kind, ()), index)
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"index.yaml is no list of indexes with kind, properties and their names: {why}"
        ) from error
    return by_kind


def _index(item: Any) -> Index:
    properties = tuple((_name(each["name"]), _descends(each)) for each in item["properties"])
    ancestor = item.get("ancestor") in (True, "yes", "true")  # YAML reads yes as a boolean
    return Index(_name(item["kind"]), without_last_key(properties), ancestor)


def _name(of: Any) -> str:
    if isinstance(of, bool) or not isinstance(of, str | int):
        raise ValueError(f"index.yaml: YAML reads a name as {of!r}; put it in quotes.")
    return str(of)


def _descends(item: Any) -> bool:
    direction = item.get("direction", "asc")
    if direction not in ("asc", "desc"):
        raise ValueError(f"index.yaml: direction is asc or desc, not {direction!r}")
    return bool(direction == "desc")


def without_last_key(properties: Properties) -> Properties:
    """Every index ends so without saying it."""
    return properties[:-1] if properties[-1:] == ((KEY, False),) else properties


@lru_cache(maxsize=4096)
def digest(partition: bytes, index: Index) -> bytes:
    """What all entries of the index begin with."""
    return hashlib.blake2b(repr((partition, index)).encode(), digest_size=8).digest()


@lru_cache(maxsize=4096)
def _digests(partition: bytes, kind: str, name: str) -> tuple[bytes, bytes]:
    """Of the two indexes that every property has."""
    up, down = (Index(kind, ((name, descends),)) for descends in (False, True))
    return digest(partition, up), digest(partition, down)


def values_of(entity: Any) -> Values:
    """The encoded values by which an entity is found, by property; within an entity value, by dotted name.

    An empty array has none, so no index knows the entity by that property.
    """
    values: Values = {}
    for name, value in _indexed(entity, ""):
        values.setdefault(name, set()).add(value)
    return values


def _indexed(entity: Any, prefix: str) -> Iterator[tuple[str, bytes]]:
    for name, value in entity.properties.items():
        yield from _indexed_value(prefix + name, value)


def _indexed_value(name: str, value: Any) -> Iterator[tuple[str, bytes]]:
    if value.exclude_from_indexes:
        return
    match value.WhichOneof("value_type"):
        case "array_value":
            for item in value.array_value.values:
                yield from _indexed_value(name, item)
        case "entity_value":
            yield from _indexed(value.entity_value, f"{name}.")
        case _:
            yield name, encoding.value(value)


def entries(key: Any, values: Values, composites: Composites) -> set[bytes]:
    """All entries of an entity by its complete key. Raises Refused: more than production takes."""
    partition, path, kind = encoding.partition(key), encoding.path(key), key.path[-1].kind
    found = {digest(partition, Index(kind)) + path}
    for name, encoded in values.items():
        up, down = _digests(partition, kind, name)
        for value in encoded:
            found |= {up + value + path, down + encoding.turned(value) + path}
    composite = [
        digest(partition, index) + entry
        for index in composites.get(kind, ())
        for entry in _composite_entries(index, values, key, path)
    ]
    _check_limits(found, composite)
    return found.union(composite)


def _composite_entries(index: Index, values: Values, key: Any, path: bytes) -> Iterator[bytes]:
    """One for each combination of values, and of ancestors: none if a property has no value."""
    columns: list[Iterable[bytes]] = []
    if index.ancestor:
        columns.append(
            [encoding.path_prefix(key.path[: depth + 1]) + encoding.END for depth in range(len(key.path))]
        )
    for name, descends in index.properties:
        column = [path] if name == KEY else values.get(name, ())
        columns.append([encoding.turned(value) for value in column] if descends else column)
    last = b"" if any(name == KEY for name, _ in index.properties) else path
    for count, combination in enumerate(product(*columns)):
        if count > MAX_ENTRIES:
            return  # more than is taken: no need to make them all
        yield b"".join(combination) + last


def _check_limits(built_in: set[bytes], composite: list[bytes]) -> None:
    if len(built_in) + len(composite) > MAX_ENTRIES:
        raise invalid(f"too many indexed properties for an entity: at most {MAX_ENTRIES:,} index entries.")
    if sum(map(len, composite)) > MAX_COMPOSITE_BYTES:
        raise invalid(
            f"the composite index entries of an entity take more than {MAX_COMPOSITE_BYTES:,} bytes."
        )
