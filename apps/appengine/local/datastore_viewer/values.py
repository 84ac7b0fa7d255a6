"""Keys and values as text. What is stored encrypted stays so."""

import re
from typing import Any

SHORT, LONG = 80, 2000  # characters of a value, in a list and on a page of its own


def key(of: Any) -> str:
    """As GQL writes it."""
    parts = [
        f"{name(part.kind)}, {part.name!r}"
        if part.WhichOneof("id_type") == "name"
        else f"{name(part.kind)}, {part.id}"
        for part in of.path
    ]
    return f"KEY({', '.join(parts)})"


def name(text: str) -> str:
    """A kind or a property as GQL writes it: between backticks where it must be."""
    return text if re.fullmatch(r"[^\W\d][\w.$]*", text) else f"`{text}`"


TEXTS: dict[str, Any] = {
    "null": lambda _: "null",
    "boolean": lambda value: str(value).lower(),
    "blob": lambda value: f"{len(value):,} bytes: {value[:LONG]!r}",
    "timestamp": lambda value: value.ToJsonString(),
    "key": key,
    "geo_point": lambda value: f"{value.latitude}, {value.longitude}",
    "array": lambda value: f"[{', '.join(map(as_text, value.values))}]",
    "entity": lambda value: (
        f"{{{', '.join(f'{name}: {as_text(value.properties[name])}' for name in sorted(value.properties))}}}"
    ),
}


def type_of(value: Any) -> str:
    """As the API names it: string, blob, array, ..."""
    return str(value.WhichOneof("value_type") or "null_value").removesuffix("_value")


def is_indexed(value: Any) -> bool:
    """An array is indexed by its items."""
    items = value.array_value.values
    return any(map(is_indexed, items)) if items else not value.exclude_from_indexes


def as_text(value: Any) -> str:
    kind = type_of(value)
    return str(TEXTS.get(kind, str)(getattr(value, f"{kind}_value")))


def shown(value: Any, most: int = SHORT) -> str:
    """The value in about so many characters, and how many there are if these are more."""
    text = as_text(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
