"""An example of what a JSON Schema describes: small, always the same, and made without leaving the schema.

Not every keyword is understood, so an example may fail a strict schema. One that its author wrote into
the schema (`examples`, `example`, `default`, `const`, `enum`) is taken as it is.
"""

import json
from collections.abc import Mapping
from typing import Any

DEEPEST = 10  # schemas within each other, followed references included
MOST = 500  # schemas in all: a reference may be followed many times
LARGEST = 1_048_576  # bytes that its names and what is taken as it is may take: what a message may
BY_FORMAT = {
    "date": "2030-01-31",
    "date-time": "2030-01-31T12:00:00Z",
    "email": "user@example.com",
    "ipv4": "192.0.2.1",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class NoExample(ValueError):
    """The schemas give no example. The message says why."""


def of(schemas: Mapping[str, Any] | None, index: int = 0) -> dict[str, Any]:
    """An example of an event type's newest schema: the author's `index`th, or else one that is made.

    Raises NoExample.
    """
    if not schemas:
        raise NoExample("The event type has no schema.")
    schema = schemas[max(schemas, key=_version)]
    made = _author_s(schema, index) if isinstance(schema, dict) else None
    if made is None:
        made = _Walk(schema).example(schema, 0)
    if not isinstance(made, dict):
        raise NoExample("The schema describes no object.")
    return made


def _version(name: str) -> tuple[int, str]:
    """Versions are numbers, as Svix has them; anything else comes before them, by name."""
    digits = name.lstrip("v")
    return (int(digits), "") if digits.isascii() and digits.isdigit() and len(digits) < 10 else (-1, name)


def _author_s(schema: dict[str, Any], index: int) -> Any:
    examples = schema.get("examples")
    if not isinstance(examples, list) or not examples:
        return None
    if index >= len(examples):
        raise NoExample(f"The schema has {len(examples)} examples.")
    return examples[index]


class _Walk:
    """One example: it knows the schema's root, to which references lead, and how much it has made."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.made = 0
        self.room = LARGEST

    def example(self, schema: Any, depth: int) -> Any:
        """None where nothing more is known, or too much was made already."""
        self.made += 1
        if not isinstance(schema, dict) or depth > DEEPEST or self.made > MOST:
            return None
        for written in _written(schema):
            self._take(written)
            return written
        if "$ref" in schema:
            return self.example(self._resolve(schema["$ref"]), depth + 1)
        for name in ("oneOf", "anyOf"):
            if _first(schema.get(name)) is not None:
                return self.example(_first(schema[name]), depth + 1)
        return self._by_type(schema, depth)

    def _by_type(self, schema: dict[str, Any], depth: int) -> Any:
        match _type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                items = self.example(schema.get("items"), depth + 1)
                return [] if items is None else [items]
            case "string":
                return BY_FORMAT.get(str(schema.get("format")), "string")
            case "integer" | "number":
                least = schema.get("minimum")
                return least if isinstance(least, int | float) else 0
            case "boolean":
                return True
        return None

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        all_of = schema.get("allOf")
        for part in all_of if isinstance(all_of, list) else []:
            example = self.example(part, depth + 1)
            made |= example if isinstance(example, dict) else {}
        properties = schema.get("properties")
        for name, inner in properties.items() if isinstance(properties, dict) else []:
            self._take(name)
            made[name] = self.example(inner, depth + 1)
        return made

    def _take(self, value: Any) -> None:
        """Raises NoExample when it grows too large: references may repeat what is large already."""
        self.room -= len(json.dumps(value))
        if self.room < 0:
            raise NoExample("The example would be too large.")

    def _resolve(self, reference: Any) -> Any:
        """What a JSON pointer into the schema itself names (RFC 6901); other references are not followed."""
        first, *path = str(reference).split("/")
        found = self.root if first == "#" else None
        for part in path:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        return found


def _type(schema: dict[str, Any]) -> str:
    """The first type but null; without one, what the other keywords say."""
    stated = schema.get("type")
    types = stated if isinstance(stated, list) else [stated]
    known = [one for one in types if isinstance(one, str) and one != "null"]
    if known:
        return str(known[0])
    if "items" in schema:
        return "array"
    return "object" if {"properties", "allOf"} & schema.keys() else ""


def _written(schema: dict[str, Any]) -> list[Any]:
    """What the author gave as a value, the one that counts first."""
    given = [schema[name] for name in ("example", "default", "const") if name in schema]
    lists = [schema.get(name) for name in ("examples", "enum")]
    return given + [one[0] for one in lists if isinstance(one, list) and one]


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None
