"""Keys and values as bytes that sort as the Datastore sorts what they stand for.

Each encoding says where it ends, so encodings can be joined to tuples and compare as tuples do, and none
is a prefix of another. Turning every bit of one reverses its order. Values of different types sort by
type: null, numbers without fraction (integers and dates), booleans, bytes (byte and text strings),
numbers with fraction, points, keys.
https://cloud.google.com/datastore/docs/concepts/entities#value_type_ordering
"""

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from apps.appengine.local.refusals import invalid

from .messages import Key, Value

NULL, FIXED, BOOLEAN, BYTES, FLOAT, POINT, KEY = b"\x05", b"\x10", b"\x18", b"\x20", b"\x28", b"\x30", b"\x38"
# Within a path: its end sorts before every step, so that a parent sorts before its children.
END, STEP, ID, NAME = b"\x01", b"\x02", b"\x01", b"\x02"
INDEX_VALUE = 18  # Value.meaning
_SIGN, _ALL_BITS = 1 << 63, (1 << 64) - 1
AFTER = b"\xff"  # greater than whatever may follow an encoding
_TURNED = bytes(range(255, -1, -1))


def turned(encoded: bytes) -> bytes:
    """The encoding for descending order, and back."""
    return encoded.translate(_TURNED)


def _text(data: bytes) -> bytes:
    """Any bytes, ended: a zero within is followed by 255, the end is a zero followed by 1."""
    return data.replace(b"\0", b"\0\xff") + b"\0\x01"


def _read_text(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.index(b"\0\x01", at)
    return data[at:end].replace(b"\0\xff", b"\0"), end + 2


def _integer(number: int) -> bytes:
    return (number + (1 << 63)).to_bytes(8, "big")


def _read_integer(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "big") - (1 << 63)


def _double(number: float) -> bytes:
    """IEEE 754's bits, made to sort: minus zero before zero, and NaN above all."""
    bits: int = struct.unpack(">Q", struct.pack(">d", math.nan if math.isnan(number) else number))[0]
    return (bits ^ _ALL_BITS if bits & _SIGN else bits ^ _SIGN).to_bytes(8, "big")


def _read_double(data: bytes, at: int) -> float:
    bits = int.from_bytes(data[at : at + 8], "big")
    number: float = struct.unpack(
        ">d", (bits ^ _SIGN if bits & _SIGN else bits ^ _ALL_BITS).to_bytes(8, "big")
    )[0]
    return number


def path_prefix(elements: Any) -> bytes:
    """What the paths of these elements and of all their descendants begin with."""
    return b"".join(
        _step(element.kind)
        + (NAME + _text(element.name.encode()) if element.name else ID + _integer(element.id))
        for element in elements
    )


@lru_cache
def _step(kind: str) -> bytes:
    return STEP + _text(kind.encode())


def path(key: Any) -> bytes:
    """The path of a complete key, without its partition."""
    return path_prefix(key.path) + END


def read_path(data: bytes, at: int, key: Any) -> int:
    """Append the elements to `key`; where the path ends."""
    while data[at : at + 1] != END:
        kind, at = _read_text(data, at + 1)
        element = key.path.add(kind=kind.decode())
        if data[at : at + 1] == ID:
            element.id, at = _read_integer(data, at + 1), at + 9
        else:
            name, at = _read_text(data, at + 1)
            element.name = name.decode()
    return at + 1


def partition(key: Any) -> bytes:
    """Project, database and namespace of a key or of another holder of them."""
    of = key.partition_id
    return _partition(of.project_id, of.database_id, of.namespace_id)


@lru_cache
def _partition(*names: str) -> bytes:
    return b"".join(_text(name.encode()) for name in names)


def _point(of: Any) -> bytes:
    return _double(of.latitude) + _double(of.longitude)


_ENCODERS: dict[str | None, Callable[[Any], bytes]] = {
    None: lambda _: NULL,
    "null_value": lambda _: NULL,
    "integer_value": lambda of: FIXED + _integer(of.integer_value),
    "timestamp_value": lambda of: FIXED + _integer(of.timestamp_value.ToMicroseconds()),
    "boolean_value": lambda of: BOOLEAN + bytes([of.boolean_value]),
    "string_value": lambda of: BYTES + _text(of.string_value.encode()),
    "blob_value": lambda of: BYTES + _text(of.blob_value),
    "double_value": lambda of: FLOAT + _double(of.double_value),
    "geo_point_value": lambda of: POINT + _point(of.geo_point_value),
    "key_value": lambda of: KEY + partition(of.key_value) + path(of.key_value),
}


def value(of: Any) -> bytes:
    """A value that can be indexed. Raises Refused: an array or an entity within a filter."""
    kind = of.WhichOneof("value_type")
    if kind not in _ENCODERS:
        raise invalid(f"a value of type {kind.removesuffix('_value')} has no place in an index or a filter.")
    return _ENCODERS[kind](of)


_FIXED_SIZES = {NULL: 1, FIXED: 9, BOOLEAN: 2, FLOAT: 9, POINT: 17}


def end_of(data: bytes, at: int) -> int:
    """Where the value, or the path, that begins at `at` ends."""
    tag = data[at : at + 1]
    if size := _FIXED_SIZES.get(tag):
        return at + size
    if tag == BYTES:
        return data.index(b"\0\x01", at) + 2
    if tag == KEY:
        for _ in range(3):
            at = data.index(b"\0\x01", at) + 2
    return read_path(data, at, Key())


def read_value(data: bytes) -> Any:
    """The value as a projection gives it back: marked as an index's, and a date as microseconds."""
    of = _DECODERS[data[:1]](data)
    of.meaning = INDEX_VALUE
    return of


def _read_bytes(data: bytes) -> Any:
    try:
        return Value(string_value=data.decode())
    except UnicodeDecodeError:
        return Value(blob_value=data)


def _read_key(data: bytes) -> Any:
    key, at = Key(), 1
    for field in ("project_id", "database_id", "namespace_id"):
        text, at = _read_text(data, at)
        setattr(key.partition_id, field, text.decode())
    read_path(data, at, key)
    return key


_DECODERS: dict[bytes, Callable[[bytes], Any]] = {
    NULL: lambda _: Value(null_value=0),
    FIXED: lambda data: Value(integer_value=_read_integer(data, 1)),
    BOOLEAN: lambda data: Value(boolean_value=data[1] == 1),
    BYTES: lambda data: _read_bytes(_read_text(data, 1)[0]),
    FLOAT: lambda data: Value(double_value=_read_double(data, 1)),
    POINT: lambda data: Value(
        geo_point_value={"latitude": _read_double(data, 1), "longitude": _read_double(data, 9)}
    ),
    KEY: lambda data: Value(key_value=_read_key(data)),
}
