"""MessagePack (https://msgpack.org), with an extension for what is not known yet: Terraform's values."""

import struct
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any


class Unknown:
    """A value that only an apply will tell."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()

# The struct format of the length or of the number that follows a first byte.
LENGTHS = dict(zip(range(0xC4, 0xCA), "BHIBHI", strict=True)) | dict(
    zip(range(0xD9, 0xE0), "BHIHIHI", strict=True)
)
NUMBERS = dict(zip(range(0xCA, 0xD4), "fdBHIQbhiq", strict=True))
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def unpack(data: bytes) -> Any:
    """The value. Raises ValueError."""
    value, rest = _read(data)
    if rest:
        raise ValueError("more than one value")
    return value


def _read(data: bytes) -> tuple[Any, bytes]:
    head, rest = data[0], data[1:]
    if head in CONSTANTS:
        return CONSTANTS[head], rest
    if head < 0x80 or head >= 0xE0:
        return (head if head < 0x80 else head - 256), rest
    if form := NUMBERS.get(head):
        size = struct.calcsize(form)
        return struct.unpack(f">{form}", rest[:size])[0], rest[size:]
    return _read_sized(head, rest)


def _read_sized(head: int, rest: bytes) -> tuple[Any, bytes]:
    """What says how long it is: texts, bytes, arrays, maps and extensions."""
    if form := LENGTHS.get(head):
        width = struct.calcsize(form)
        size, rest = struct.unpack(f">{form}", rest[:width])[0], rest[width:]
    elif 0xD4 <= head <= 0xD8:
        size = 1 << (head - 0xD4)
    else:
        size = head & (0x1F if head >= 0xA0 else 0x0F)
    if 0xC7 <= head <= 0xC9 or 0xD4 <= head <= 0xD8:  # an extension: unknown, with or without refinements
        return UNKNOWN, rest[1 + size :]
    if 0xA0 <= head <= 0xBF or 0xD9 <= head <= 0xDB:
        return rest[:size].decode(), rest[size:]
    if 0xC4 <= head <= 0xC6:
        return rest[:size], rest[size:]
    return _read_many(size, rest, pairs=0x80 <= head <= 0x8F or head in (0xDE, 0xDF))


def _read_many(size: int, rest: bytes, *, pairs: bool) -> tuple[Any, bytes]:
    items = []
    for _ in range(size * (2 if pairs else 1)):
        item, rest = _read(rest)
        items.append(item)
    return (dict(zip(items[::2], items[1::2], strict=True)) if pairs else items), rest


def pack(value: Any) -> bytes:
    """The value's bytes. Raises KeyError for what is no value of Terraform's."""
    return PACKERS[type(value)](value)


def _pack_text(text: str) -> bytes:
    return struct.pack(">BI", 0xDB, len(text.encode())) + text.encode()


def _pack_many(head: int, length: int, parts: Iterable[Any]) -> bytes:
    return struct.pack(">BI", head, length) + b"".join(map(pack, parts))


PACKERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"\xc0",
    bool: lambda value: b"\xc3" if value else b"\xc2",
    Unknown: lambda _: b"\xd4\x00\x00",
    int: lambda number: struct.pack(">Bq", 0xD3, number),
    float: lambda number: struct.pack(">Bd", 0xCB, number),
    str: _pack_text,
    list: lambda items: _pack_many(0xDD, len(items), items),
    dict: lambda pairs: _pack_many(0xDF, len(pairs), chain.from_iterable(pairs.items())),
}
