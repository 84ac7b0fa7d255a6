"""Python values as Datastore's messages."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from google.cloud.datastore_v1 import types

PROJECT = "p"


def key(*path: str | int, namespace: str = "", database: str = "", project: str = PROJECT) -> types.Key:
    """`key("Parent", 1, "Child", "name")`; incomplete without the last."""
    return types.Key(
        partition_id={"project_id": project, "database_id": database, "namespace_id": namespace},
        path=list(_elements(*path)),
    )


def _elements(*path: str | int) -> Iterator[dict[str, str | int]]:
    for kind, name in zip(path[::2], [*path[1::2], None], strict=False):
        if name is None:
            yield {"kind": str(kind)}
        else:
            yield {"kind": str(kind), "id" if isinstance(name, int) else "name": name}


FIELDS = {
    bool: "boolean_value",
    int: "integer_value",
    float: "double_value",
    str: "string_value",
    bytes: "blob_value",
    datetime: "timestamp_value",
    types.Key: "key_value",
}


def value(of: Any) -> types.Value:
    if isinstance(of, types.Value):
        return of
    if isinstance(of, list):
        return types.Value(array_value={"values": [value(item) for item in of]})
    if isinstance(of, dict):
        return types.Value(entity_value={"properties": properties(of)})
    return types.Value({FIELDS[type(of)]: of}) if of is not None else types.Value(null_value=0)


def properties(of: dict[str, Any]) -> dict[str, types.Value]:
    return {name: value(each) for name, each in of.items()}


def unindexed(of: Any) -> types.Value:
    found = value(of)
    found.exclude_from_indexes = True
    return found


def point(latitude: float, longitude: float) -> types.Value:
    return types.Value(geo_point_value={"latitude": latitude, "longitude": longitude})


def entity(key: types.Key, **of: Any) -> types.Entity:
    return types.Entity(key=key, properties=properties(of))


def where(name: str, operator: str, compared: Any) -> types.Filter:
    """`where("a", "LESS_THAN", 5)`."""
    return types.Filter(
        property_filter={"property": {"name": name}, "op": operator, "value": value(compared)}
    )


def equal(**of: Any) -> types.Filter:
    """All of them."""
    return both(*(where(name, "EQUAL", each) for name, each in of.items()))


def below(ancestor: types.Key) -> types.Filter:
    return where("__key__", "HAS_ANCESTOR", ancestor)


def both(*filters: types.Filter) -> types.Filter:
    return types.Filter(composite_filter={"op": "AND", "filters": filters})


def either(*filters: types.Filter) -> types.Filter:
    return types.Filter(composite_filter={"op": "OR", "filters": filters})


def query(
    kind: str,
    *filters: types.Filter,
    order: str = "",
    projection: str = "",
    **fields: Any,
) -> types.Query:
    """`query("Kind", where(...), order="a -b", projection="a b")`; a minus for descending."""
    return types.Query(
        kind=[{"name": kind}] if kind else [],
        filter=both(*filters) if filters else None,
        order=[
            {"property": {"name": name.removeprefix("-")}, "direction": 2 if name.startswith("-") else 1}
            for name in order.split()
        ],
        projection=[{"property": {"name": name}} for name in projection.split()],
        **fields,
    )
