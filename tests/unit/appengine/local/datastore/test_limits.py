"""What production refuses, at the size at which it does.

https://cloud.google.com/datastore/docs/concepts/limits
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud.datastore_v1 import types

from tests.unit.appengine.local.datastore.conftest import Start
from tests.unit.appengine.local.datastore.messages import (
    below,
    both,
    either,
    entity,
    equal,
    key,
    query,
    unindexed,
    value,
    where,
)
from tests.unit.appengine.local.datastore.served import Served

MIB = 1 << 20
K = key("K", 1)


def filling(size: int) -> types.Entity:
    """An entity of `size` bytes."""
    whole = entity(K, a=unindexed(b"a" * 500_000), b=unindexed(b""))
    for _ in range(2):  # the first changes how long the lengths themselves are
        filled = len(whole.properties["b"].blob_value) + size - types.Entity.pb(whole).ByteSize()
        whole.properties["b"].blob_value = bytes(filled)
    return whole


def nested(depth: int) -> types.Value:
    """An entity value that holds `depth - 1` others."""
    return value({"a": nested(depth - 1) if depth > 1 else 1})


# The most of each that is taken, and the least that is not: properties of an entity.
PROPERTIES: dict[str, tuple[Callable[[int], dict[str, Any]], int, str]] = {
    "an indexed text": (lambda n: {"a": "a" * n}, 1500, "1500 bytes"),
    "an indexed text in bytes": (lambda n: {"a": "é" * (n // 2) + "e" * (n % 2)}, 1500, "1500 bytes"),
    "an indexed byte string": (lambda n: {"a": b"a" * n}, 1500, "1500 bytes"),
    "an indexed text in an array": (lambda n: {"a": ["a" * n]}, 1500, "1500 bytes"),
    "an indexed text in an entity": (lambda n: {"a": {"b": "a" * n}}, 1500, "1500 bytes"),
    "an unindexed text": (lambda n: {"a": unindexed("a" * n)}, MIB - 89, "1048487 bytes"),
    "a property's name": (lambda n: {"a" * n: 1}, 1500, "1500 bytes"),
    "entities in one another": (lambda n: {"a": nested(n)}, 20, "at most 20 deep"),
    "index entries of arrays": (lambda n: {"a": list(range(n))}, 9999, "20,000 index entries"),
}


@pytest.mark.parametrize(("made", "most", "said"), PROPERTIES.values(), ids=PROPERTIES.keys())
def test_properties_have_a_size_at_which_they_are_refused(
    served: Served, made: Callable[[int], dict[str, Any]], most: int, said: str
) -> None:
    served.put(K, **made(most))
    with pytest.raises(InvalidArgument, match=said):
        served.put(K, **made(most + 1))


KEYS: dict[str, tuple[Callable[[int], types.Key], int, str]] = {
    "a kind": (lambda n: key("K" * n, 1), 1500, "kind .* 1500 bytes"),
    "a name": (lambda n: key("K", "n" * n), 1500, "name .* 1500 bytes"),
    "a name in bytes": (lambda n: key("K", "é" * (n // 2) + "e" * (n % 2)), 1500, "name .* 1500 bytes"),
    "a path": (lambda n: key(*("K", 1) * n), 100, "at most 100 elements"),
    "a namespace": (lambda n: key("K", 1, namespace="n" * n), 100, "namespace"),
}


@pytest.mark.parametrize(("made", "most", "said"), KEYS.values(), ids=KEYS.keys())
def test_keys_have_a_size_at_which_they_are_refused(
    served: Served, made: Callable[[int], types.Key], most: int, said: str
) -> None:
    served.put(made(most))
    with pytest.raises(InvalidArgument, match=said):
        served.put(made(most + 1))
    with pytest.raises(InvalidArgument, match=said):
        served.lookup(made(most + 1))


def test_a_key_of_more_than_6_kib_is_refused(served: Served) -> None:
    long = "n" * 1400

    served.put(key("K", long, "K", long, "K", long, "K", long))
    with pytest.raises(InvalidArgument, match="6144 bytes"):
        served.put(key("K", long, "K", long, "K", long, "K", long, "K", long))


def test_an_entity_of_a_mebibyte_is_refused_and_one_just_below_is_not(served: Served) -> None:
    served.put_all([filling(1_048_572)])
    with pytest.raises(InvalidArgument, match="1048573 bytes of at most 1048572"):
        served.put_all([filling(1_048_573)])


def test_a_commit_of_more_than_10_mib_is_refused_and_writes_nothing(served: Served) -> None:
    large = [entity(key("K", 1 + n), a=unindexed(b"a" * 1_000_000)) for n in range(11)]

    with pytest.raises(InvalidArgument, match="10485760 bytes"):
        served.put_all(large)
    assert served.names(query("K")) == []
    served.put_all(large[:10])
    assert served.count(query("K")) == 10


def test_a_lookup_takes_a_thousand_keys(served: Served) -> None:
    keys = [key("K", 1 + n) for n in range(1001)]

    assert len(served.lookup(*keys[1:]).missing) == 1000
    with pytest.raises(InvalidArgument, match="at most 1000 keys"):
        served.lookup(*keys)


@pytest.fixture
def pairs(start: Start, tmp_path: Path) -> Served:
    """Has a composite index over two properties."""
    indexes = tmp_path / "index.yaml"
    indexes.write_text("indexes:\n- kind: K\n  properties:\n  - name: a\n  - name: b\n")
    return start(indexes=indexes)


def test_an_exploding_index_is_refused_by_its_entries(pairs: Served) -> None:
    pairs.put(K, a=list(range(100)), b=list(range(190)))
    with pytest.raises(InvalidArgument, match="20,000 index entries"):
        pairs.put(K, a=list(range(100)), b=list(range(200)))


def test_an_exploding_index_is_refused_by_the_bytes_of_its_entries(pairs: Served) -> None:
    texts = [f"{n:02}" + "a" * 1000 for n in range(40)]

    pairs.put(K, a=texts[:30], b=texts[:30])
    with pytest.raises(InvalidArgument, match=r"composite index entries .* 2,097,152 bytes"):
        pairs.put(K, a=texts, b=texts)


def test_a_huge_explosion_is_refused_at_once(pairs: Served) -> None:
    began = time.monotonic()

    with pytest.raises(InvalidArgument, match="20,000 index entries"):
        pairs.put(K, a=list(range(4000)), b=list(range(4000)))
    assert time.monotonic() - began < 5


def numbers(count: int) -> list[int]:
    return list(range(count))


def any_of(count: int) -> types.Filter:
    return either(*(where("a", "EQUAL", number) for number in numbers(count)))


DISJUNCTIONS: dict[str, tuple[Callable[[int], types.Filter], int]] = {
    "OR": (any_of, 30),
    "IN": (lambda n: where("a", "IN", numbers(n)), 30),
    "OR of INs": (lambda n: either(where("a", "IN", numbers(n)), where("b", "IN", numbers(15))), 15),
    "AND of ORs": (lambda n: both(any_of(n), where("b", "IN", numbers(5))), 6),
    "OR of ANDs of INs": (
        lambda n: either(both(any_of(n), where("b", "IN", numbers(5))), where("b", "IN", numbers(5))),
        5,
    ),
}


@pytest.mark.parametrize(("made", "most"), DISJUNCTIONS.values(), ids=DISJUNCTIONS.keys())
def test_a_query_has_at_most_30_disjunctions(
    served: Served, made: Callable[[int], types.Filter], most: int
) -> None:
    served.put(K, a=1, b=1)

    assert served.names(query("K", made(most))) == [1]
    with pytest.raises(InvalidArgument, match="30"):
        served.run(query("K", made(most + 1)))


def test_a_million_disjunctions_are_refused_without_making_them(served: Served) -> None:
    million = both(*(where(f"p{number}", "IN", numbers(10)) for number in range(6)))
    began = time.monotonic()

    with pytest.raises(InvalidArgument, match="30 disjunctions"):
        served.run(query("K", both(million, any_of(10))))
    assert time.monotonic() - began < 2


def test_not_in_takes_ten_values(served: Served) -> None:
    served.put(K, a=77)

    assert served.names(query("K", where("a", "NOT_IN", numbers(10)))) == [1]
    with pytest.raises(InvalidArgument, match=r"NOT_IN .* 10"):
        served.run(query("K", where("a", "NOT_IN", numbers(11))))


ILLEGAL: dict[str, tuple[types.Entity, str]] = {
    "a reserved kind": (entity(key("__kind__", "a")), "reserved"),
    "a kind of that form": (entity(key("__x__", "a")), "reserved"),
    "a reserved kind in the path": (entity(key("__x__", "a", "K", 1)), "reserved"),
    "a reserved name": (entity(key("K", "__x__")), "reserved"),
    "a reserved property": (entity(K, __x__=1), "reserved"),
    "a reserved property within": (entity(K, a={"__x__": 1}), "reserved"),
    "an array in an array": (entity(K, a=[[1]]), "array"),
    "an unindexed array": (entity(K, a=unindexed([1])), "exclude_from_indexes"),
    "a property without name": (entity(K, **{"": 1}), "property name"),
    "an id of 0": (entity(key("K", 0)), "id .* zero"),
    "an empty name": (entity(key("K", "")), "name .* empty"),
    "an empty kind": (entity(key("", 1)), "kind .* empty"),
    "no path": (entity(key()), "path"),
    "an incomplete parent": (entity(types.Key(path=[{"kind": "P"}, {"kind": "K", "id": 1}])), "complete"),
    "an incomplete key as a value": (entity(K, a=key("K")), "complete"),
    "a key without path as a value": (entity(K, a=key()), "path"),
    "a latitude over the pole": (
        entity(K, a=types.Value(geo_point_value={"latitude": 90.5, "longitude": 0})),
        "latitude",
    ),
    "a namespace of other letters": (entity(key("K", 1, namespace="a b")), "namespace"),
}


@pytest.mark.parametrize(("written", "said"), ILLEGAL.values(), ids=ILLEGAL.keys())
def test_an_illegal_entity_is_refused_in_words(served: Served, written: types.Entity, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        served.put_all([written])
    assert served.names(query("")) == []


def test_a_time_that_is_none_is_refused(served: Served) -> None:
    for seconds, nanos in ((1, -1), (1, 1_000_000_000), (300_000_000_000, 0)):
        wrong = types.Entity.pb(entity(K))
        wrong.properties["a"].timestamp_value.seconds = seconds
        wrong.properties["a"].timestamp_value.nanos = nanos
        with pytest.raises(InvalidArgument):
            served.put_all([types.Entity.wrap(wrong)])


def test_a_time_is_kept_to_the_microsecond(served: Served) -> None:
    exact = types.Entity.pb(entity(K))
    exact.properties["a"].timestamp_value.seconds = -1
    exact.properties["a"].timestamp_value.nanos = 123_456_789

    served.put_all([types.Entity.wrap(exact)])

    found = types.Entity.pb(served.lookup(K).found[0].entity)
    assert found.properties["a"].timestamp_value.ToNanoseconds() == -876_544_000


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_an_update_and_a_deletion_need_a_complete_key(served: Served, operation: str) -> None:
    incomplete = key("K")

    with pytest.raises(InvalidArgument, match="complete"):
        served.commit({operation: incomplete if operation == "delete" else entity(incomplete)})


def test_a_lookup_needs_complete_keys(served: Served) -> None:
    with pytest.raises(InvalidArgument, match="complete"):
        served.lookup(key("K"))


def test_a_reserved_entity_cannot_be_deleted(served: Served) -> None:
    with pytest.raises(InvalidArgument, match="reserved"):
        served.commit({"delete": key("__kind__", "K")})


def test_an_incomplete_key_is_completed_with_an_id_that_is_new(served: Served) -> None:
    results = [served.put(key("P", 1, "K")) for _ in range(20)]

    ids = {result.key.path[-1].id for result in results}
    assert len(ids) == 20
    assert ids == set(served.names(query("K", below(key("P", 1)))))
    assert not served.put(key("K", "a")).key.path  # a complete key is not said again


def test_ids_are_allocated_for_incomplete_keys_only(served: Served) -> None:
    allocated = served.call("allocate_ids", keys=[key("K")] * 50).keys

    assert len({each.path[-1].id for each in allocated}) == 50
    with pytest.raises(InvalidArgument, match="incomplete keys"):
        served.call("allocate_ids", keys=[K])
    with pytest.raises(InvalidArgument, match="complete"):
        served.call("reserve_ids", keys=[key("K")])
    served.call("reserve_ids", keys=[K])


ILLEGAL_QUERIES: dict[str, tuple[types.Query, str]] = {
    "two kinds": (types.Query(kind=[{"name": "A"}, {"name": "B"}]), "one kind"),
    "a negative limit": (query("K", limit=-1), "negative"),
    "a negative offset": (query("K", offset=-1), "negative"),
    "a filter without kind": (query("", equal(a=1)), "kind is required"),
    "an order without kind": (query("", order="a"), "kind is required"),
    "a projection of an equality": (query("K", equal(a=1), projection="a"), "equality"),
    "IN nothing": (query("K", where("a", "IN", [])), "at least one"),
    "IN a number": (query("K", where("a", "IN", 1)), "array"),
    "equal to an array": (query("K", where("a", "EQUAL", [1])), "array"),
    "equal to an entity": (query("K", where("a", "EQUAL", {"b": 1})), "entity"),
    "a composite of nothing": (query("K", either()), "at least one"),
    "two !=": (query("K", where("a", "NOT_EQUAL", 1), where("a", "NOT_EQUAL", 2)), "single"),
    "__key__ compared with a number": (query("K", where("__key__", "EQUAL", 1)), "__key__"),
    "an ancestor that is no key": (query("K", where("__key__", "HAS_ANCESTOR", 1)), "HAS_ANCESTOR"),
    "an ancestor of a property": (query("K", where("a", "HAS_ANCESTOR", K)), "HAS_ANCESTOR"),
    "two ancestors": (query("K", either(below(K), below(key("K", 2)))), "ancestor"),
    "an incomplete ancestor": (query("K", below(key("K"))), "complete"),
    "an ancestor elsewhere": (query("K", below(key("K", 1, namespace="n"))), "namespace"),
    "no cursor": (query("K", start_cursor=b"nonsense"), "cursor"),
    "distinct results without kind": (query("", distinct_on=[{"name": "a"}]), "kind is required"),
    "a distinct __key__": (query("K", distinct_on=[{"name": "__key__"}]), "__key__"),
}


@pytest.mark.parametrize(("asked", "said"), ILLEGAL_QUERIES.values(), ids=ILLEGAL_QUERIES.keys())
def test_an_illegal_query_is_refused_in_words(served: Served, asked: types.Query, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        served.run(asked)


def test_a_mutation_needs_an_operation_and_a_commit_a_mode_that_fits(served: Served) -> None:
    with pytest.raises(InvalidArgument, match="mutation"):
        served.commit({})
    with pytest.raises(InvalidArgument, match="transaction"):
        served.call("commit", mutations=[{"upsert": entity(K)}])
    with pytest.raises(InvalidArgument, match="transaction"):
        served.call("commit", mode="NON_TRANSACTIONAL", transaction=b"a", mutations=[])


def test_outside_of_a_transaction_an_entity_is_written_once_in_a_commit(served: Served) -> None:
    with pytest.raises(InvalidArgument, match="same entity"):
        served.commit({"upsert": entity(K)}, {"delete": K})
