"""The JSON a task carries from the enqueue to the route."""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from django.utils.json import normalize_json

# An escaped NUL, not the text \\u0000 behind an escaped backslash.
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def encode(value: Any) -> bytes:
    """`value` as strict JSON, which Cloud Tasks, SQLite and PostgreSQL all keep as it is.

    Raises TypeError or ValueError for what JSON cannot hold (NaN and lone surrogates among it), and
    for NUL characters, which PostgreSQL refuses.
    """
    text = json.dumps(normalize_json(value), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    if NUL.search(text):
        raise ValueError("Unsupported value: a string with a NUL character")
    return text.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One task: which function, with what, under which result id, for which backend alias."""

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    id: str
    backend: str

    def encode(self) -> bytes:
        """As bytes; raises TypeError or ValueError where the arguments are not JSON."""
        return encode(asdict(self))

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From bytes. Raises ValueError for what is no JSON object: no release wrote that.

        Raises TypeError where a field is missing, unknown or of a wrong type: another release may know it.
        """
        fields = json.loads(raw)
        if not isinstance(fields, dict):
            raise ValueError("not a JSON object")
        body = cls(**fields)
        for name, kind in {"task": str, "args": list, "kwargs": dict, "id": str, "backend": str}.items():
            if not isinstance(getattr(body, name), kind):
                raise TypeError(f"{name} is not a {kind.__name__}")
        return body
