"""Comparing encodings is comparing what they stand for."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise, product
from typing import Any

import pytest
from google.cloud.datastore_v1 import types
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apps.appengine.local.datastore import encoding
from apps.appengine.local.refusals import Refused
from tests.unit.appengine.local.datastore.messages import key, point, value

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Zeros, ones and 255 are what the encoding itself is made of.
BYTES = st.lists(st.sampled_from([0, 1, 2, 65, 254, 255]), max_size=4).map(bytes)
TEXT = st.lists(st.sampled_from("\0\x01\x02ab\x7f\x80\u00ff\uffff\U0010ffff"), max_size=4).map("".join)
NAMES = TEXT.filter(bool)
LEAST, MOST = -(1 << 63), (1 << 63) - 1
INTEGERS = st.integers(LEAST, MOST) | st.sampled_from([LEAST, -1, 0, 1, 255, 256, MOST])
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -5e-324])
POINTS = st.builds(point, st.floats(-90, 90), st.floats(-180, 180))
STEPS = st.tuples(NAMES, NAMES | st.integers(1, MOST))
KEYS = st.builds(
    lambda steps, namespace, database: key(*chain(*steps), namespace=namespace, database=database),
    st.lists(STEPS, min_size=1, max_size=3),
    st.sampled_from(["", "n", "n0"]),
    st.sampled_from(["", "d"]),
)
DATES = st.integers(-(10**15), 10**15).map(lambda number: EPOCH + timedelta(microseconds=number))
VALUES = st.one_of(st.none(), INTEGERS, DATES, st.booleans(), BYTES, TEXT, FLOATS, POINTS, KEYS).map(value)
EDGES = [
    *map(value, (None, False, True, LEAST, MOST, 0.0, -0.0, math.nan, math.inf, -math.inf, "", b"")),
    *map(value, ("a", "a\0", "a\0\0", "a\x01", b"\0", b"\0\xff", b"\0\x01", b"\xff")),
    *map(value, (key("A", 1), key("A", MOST), key("A", "\0"), key("A", 1, "A", 1), key("A\0", 1))),
]
SOME = st.lists(VALUES, min_size=2, max_size=8)
EXAMPLES = settings(max_examples=40, deadline=None, database=None)


def encoded(of: types.Value) -> bytes:
    return encoding.value(types.Value.pb(of))


def meaning(of: types.Value) -> tuple[Any, ...]:
    """What sorts as the documentation says: by type, then by value."""
    kind = types.Value.pb(of).WhichOneof("value_type")
    order, comparable = MEANINGS[kind]
    return order, comparable(getattr(of, kind))


def microseconds(of: datetime) -> int:
    since = of - EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def number(of: float) -> tuple[int, float, float]:
    """Minus zero is before zero, NaN after all others."""
    return (1, 0.0, 0.0) if math.isnan(of) else (0, of, math.copysign(1, of))


def partition(of: types.Key) -> tuple[str, str, str]:
    return of.partition_id.project_id, of.partition_id.database_id, of.partition_id.namespace_id


def path(of: types.Key) -> list[tuple[bytes, bool, Any]]:
    """A parent is before its children, ids are before names."""
    return [
        (element.kind.encode(), bool(element.name), element.name.encode() if element.name else element.id)
        for element in of.path
    ]


MEANINGS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "null_value": (0, lambda _: 0),
    "integer_value": (1, int),
    "timestamp_value": (1, microseconds),
    "boolean_value": (2, bool),
    "string_value": (3, str.encode),
    "blob_value": (3, bytes),
    "double_value": (4, number),
    "geo_point_value": (5, lambda of: (of.latitude, of.longitude)),
    "key_value": (6, lambda of: (partition(of), path(of))),
}


@EXAMPLES
@given(SOME)
@example(EDGES)
def test_encodings_compare_as_what_they_stand_for(values: list[types.Value]) -> None:
    for one, other in product(values, repeat=2):
        assert (encoded(one) < encoded(other)) == (meaning(one) < meaning(other))
        assert (encoded(one) == encoded(other)) == (meaning(one) == meaning(other))


@EXAMPLES
@given(SOME)
@example(EDGES)
def test_turned_encodings_compare_the_other_way_round(values: list[types.Value]) -> None:
    for one, other in product(values, repeat=2):
        descending = encoding.turned(encoded(one)) < encoding.turned(encoded(other))
        assert descending == (meaning(one) > meaning(other))
    assert all(encoding.turned(encoding.turned(encoded(one))) == encoded(one) for one in values)


@EXAMPLES
@given(SOME)
@example(EDGES)
def test_no_encoding_begins_with_another(values: list[types.Value]) -> None:
    for one, other in product(values, repeat=2):
        assert not encoded(one).startswith(encoded(other)) or meaning(one) == meaning(other)


@EXAMPLES
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=5))
@example(list(pairwise(EDGES)))
def test_joined_encodings_compare_as_tuples(tuples: list[tuple[types.Value, types.Value]]) -> None:
    for one, other in product(tuples, repeat=2):
        first, second = (b"".join(map(encoded, each)) for each in (one, other))
        assert (first < second) == (tuple(map(meaning, one)) < tuple(map(meaning, other)))


@EXAMPLES
@given(SOME, BYTES)
@example(EDGES, b"\0\x01")
def test_an_encoding_says_where_it_ends(values: list[types.Value], behind: bytes) -> None:
    for one in values:
        assert encoding.end_of(encoded(one) + behind, 0) == len(encoded(one))


@EXAMPLES
@given(st.lists(KEYS, min_size=2, max_size=5))
@example([each.key_value for each in EDGES[-5:]])
def test_paths_sort_as_keys_do_and_begin_with_their_ancestors(keys: list[types.Key]) -> None:
    for one, other in product(keys, repeat=2):
        first, second = (encoding.path(types.Key.pb(each)) for each in (one, other))
        assert (first < second) == (path(one) < path(other))
        assert encoding.end_of(first + second, 0) == len(first)
        inside = first.startswith(encoding.path_prefix(types.Key.pb(other).path))
        assert inside == (path(one)[: len(other.path)] == path(other))


@EXAMPLES
@given(SOME)
@example(EDGES)
def test_an_index_gives_a_value_back_and_a_date_as_microseconds(values: list[types.Value]) -> None:
    for one in values:
        back = types.Value.wrap(encoding.read_value(encoded(one)))
        assert meaning(back) == meaning(one)
        assert types.Value.pb(back).WhichOneof("value_type") == read_back_as(one)


def read_back_as(of: types.Value) -> str:
    """An index holds text and bytes alike, and dates as numbers."""
    kind = types.Value.pb(of).WhichOneof("value_type")
    if kind == "blob_value":
        return "string_value" if is_text(of.blob_value) else "blob_value"
    return {"timestamp_value": "integer_value"}.get(kind, str(kind))


def is_text(data: bytes) -> bool:
    try:
        return bool(data.decode()) or not data
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("nested", [[1], {"a": 1}], ids=["array", "entity"])
def test_an_array_and_an_entity_have_no_place_in_an_index(nested: Any) -> None:
    with pytest.raises(Refused, match="no place in an index or a filter"):
        encoded(value(nested))
