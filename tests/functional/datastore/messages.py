"""Programs' values as Datastore's messages, and messages as text that can be compared."""

from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from google.cloud.datastore_v1 import types

from tests.functional.datastore.steps import (
    Combined,
    Entity,
    Filter,
    Key,
    Point,
    Query,
    Unindexed,
    Value,
)

PROJECT = "p"
FIELDS: dict[type, str] = {
    bool: "boolean_value",
    int: "integer_value",
    float: "double_value",
    str: "string_value",
    bytes: "blob_value",
}
OPERATORS = {
    "=": "EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
    "!=": "NOT_EQUAL",
    "in": "IN",
    "not_in": "NOT_IN",
}


def key_message(key: Key) -> dict[str, Any]:
    path: list[dict[str, Any]] = []
    for kind, identifier in zip_longest(key.path[::2], key.path[1::2]):
        field = {str: "name", int: "id"}.get(type(identifier))
        path.append({"kind": kind} | ({field: identifier} if field else {}))
    return {"partition_id": {"project_id": PROJECT, "namespace_id": key.namespace}, "path": path}


def value_message(value: Value) -> dict[str, Any]:  # noqa: C901, PLR0911  one line for each type
    match value:
        case Unindexed(inner):
            return value_message(inner) | {"exclude_from_indexes": True}
        case None:
            return {"null_value": 0}
        case bool() | int() | float() | str() | bytes():
            return {FIELDS[type(value)]: value}
        case datetime():
            return {"timestamp_value": value.replace(tzinfo=UTC)}
        case Point(latitude, longitude):
            return {"geo_point_value": {"latitude": latitude, "longitude": longitude}}
        case Key():
            return {"key_value": key_message(value)}
        case list():
            return {"array_value": {"values": [value_message(item) for item in value]}}
        case dict():
            return {"entity_value": {"properties": properties_message(value)}}


def properties_message(properties: Any) -> dict[str, Any]:
    return {name: value_message(value) for name, value in properties.items()}


def entity_message(entity: Entity) -> dict[str, Any]:
    return {"key": key_message(entity.key), "properties": properties_message(entity.properties)}


def filter_message(where: Filter) -> dict[str, Any]:
    if isinstance(where, Combined):
        parts = [filter_message(part) for part in where.parts]
        return {"composite_filter": {"op": where.operator.upper(), "filters": parts}}
    return {
        "property_filter": {
            "property": {"name": where.name},
            "op": OPERATORS[where.operator],
            "value": value_message(where.value),
        }
    }


def within(query: Query) -> dict[str, Any] | None:
    """The filter, with the ancestor."""
    parts = [filter_message(query.where)] if query.where else []
    if query.ancestor:
        value = value_message(query.ancestor)
        ancestor = {"property": {"name": "__key__"}, "op": "HAS_ANCESTOR", "value": value}
        parts.append({"property_filter": ancestor})
    if len(parts) > 1:
        return {"composite_filter": {"op": "AND", "filters": parts}}
    return parts[0] if parts else None


def query_message(query: Query) -> dict[str, Any]:
    message: dict[str, Any] = {
        "kind": [{"name": query.kind}] if query.kind else [],
        "filter": within(query),
        "projection": [{"property": {"name": name}} for name in query.projection],
        "distinct_on": [{"name": name} for name in query.distinct],
        "order": [
            {
                "property": {"name": name.removeprefix("-")},
                "direction": "DESCENDING" if name.startswith("-") else "ASCENDING",
            }
            for name in query.order
        ],
        "offset": query.offset,
        "limit": query.limit,
    }
    return {name: part for name, part in message.items() if part not in (None, [])}


def key_text(key: types.Key) -> str:
    path = "/".join(
        f"{part.kind}:{part.name!r}" if part.name else f"{part.kind}:{part.id}" for part in key.path
    )
    namespace = key.partition_id.namespace_id
    return f"{namespace}!{path}" if namespace else path


def value_text(value: types.Value) -> str:
    """What it is, exactly: type, value, whether it is indexed."""
    message = types.Value.pb(value)
    kind = message.WhichOneof("value_type")
    inner: Any = getattr(message, kind) if kind else None
    match kind:
        case "array_value":
            text = f"[{', '.join(value_text(item) for item in value.array_value.values)}]"
        case "entity_value":
            text = properties_text(value.entity_value)
        case "key_value":
            text = key_text(value.key_value)
        case "null_value" | None:
            text = "null" if kind else "nothing"
        case "timestamp_value":
            text = inner.ToJsonString()
        case "geo_point_value":
            text = f"({inner.latitude!r}, {inner.longitude!r})"
        case _:
            text = repr(inner)
    marks = [f"meaning {value.meaning}"] * bool(value.meaning) + ["unindexed"] * value.exclude_from_indexes
    return " ".join([text, *marks])


def properties_text(entity: types.Entity) -> str:
    properties = sorted(entity.properties.items())
    return "{" + ", ".join(f"{name}={value_text(value)}" for name, value in properties) + "}"


def entity_text(entity: types.Entity) -> str:
    return f"{key_text(entity.key)} {properties_text(entity)}"
