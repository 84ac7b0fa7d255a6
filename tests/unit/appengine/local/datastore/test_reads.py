"""Lookups and queries that do not fit into one answer, and cursors from one to the next."""

from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud import datastore
from google.cloud.datastore_v1 import types

from tests.datastores import as_emulator_host
from tests.unit.appengine.local.datastore.conftest import Start
from tests.unit.appengine.local.datastore.messages import entity, equal, key, query, unindexed, where
from tests.unit.appengine.local.datastore.served import Served

NOT_FINISHED = types.QueryResultBatch.MoreResultsType.NOT_FINISHED
NO_MORE_RESULTS = types.QueryResultBatch.MoreResultsType.NO_MORE_RESULTS
MORE_RESULTS_AFTER_LIMIT = types.QueryResultBatch.MoreResultsType.MORE_RESULTS_AFTER_LIMIT


@pytest.fixture
def client(served: Served) -> Any:
    """google-cloud-datastore's, unmodified."""
    with as_emulator_host(served.host):
        client: Any = datastore.Client
        return client(project="p")


@pytest.fixture
def large(served: Served) -> list[types.Key]:
    """Twelve entities of 0.9 MB each."""
    keys = [key("K", 1 + number) for number in range(12)]
    for each in keys:
        served.put(each, a=each.path[0].id, data=unindexed(b"a" * 900_000))
    return keys


def pages(served: Served, asked: types.Query) -> list[list[int]]:
    """The ids of each batch, until there are no more."""
    found = []
    for _ in count():
        batch = served.run(asked)
        found.append([each.entity.key.path[-1].id for each in batch.entity_results])
        if batch.more_results != NOT_FINISHED:
            return found
        asked.start_cursor = batch.end_cursor
    raise AssertionError


def test_a_lookup_of_more_than_an_answer_holds_defers_the_rest(
    served: Served, large: list[types.Key]
) -> None:
    answer = served.lookup(*large)

    assert 0 < len(answer.found) < 12
    assert len(answer.found) + len(answer.deferred) == 12
    assert types.LookupResponse.pb(answer).ByteSize() < 6_000_000
    rest = served.lookup(*answer.deferred)
    assert len({each.entity.key.path[0].id for each in (*answer.found, *rest.found)}) > len(answer.found)


def test_the_client_gets_all_that_it_looks_up(client: Any, large: list[types.Key]) -> None:
    keys = [client.key("K", each.path[0].id) for each in large]

    found = client.get_multi([*keys, client.key("K", "missing")])

    assert {each.key.id for each in found} == {key.id for key in keys}
    assert all(len(each["data"]) == 900_000 for each in found)


def test_a_query_of_more_bytes_than_an_answer_holds_goes_on(served: Served, large: list[types.Key]) -> None:
    found = pages(served, query("K", order="-a"))

    assert len(found) > 1
    assert list(chain(*found)) == list(range(12, 0, -1))


def test_the_client_gets_all_results_of_a_query(client: Any, served: Served) -> None:
    for start in range(0, 1001, 500):
        served.put_all(entity(key("K", 1 + n), a=n) for n in range(start, min(start + 500, 1001)))

    assert [each.key.id for each in client.query(kind="K").fetch()] == list(range(1, 1002))
    assert served.count(query("K")) == 1001
    assert len(list(client.query(kind="K").fetch(limit=1000, offset=5))) == 996


def test_a_batch_has_a_thousand_results_at_most(served: Served) -> None:
    for start in range(0, 1001, 500):
        served.put_all(entity(key("K", 1 + n)) for n in range(start, min(start + 500, 1001)))

    assert [len(page) for page in pages(served, query("K"))] == [1000, 1]


def test_batches_within_a_transaction_are_of_one_snapshot(served: Served, large: list[types.Key]) -> None:
    transaction = served.begin()
    asked = query("K", order="a")
    first = served.run(asked, transaction)

    served.put(key("K", 13), a=13)
    served.commit({"delete": large[-1]})
    asked.start_cursor = first.end_cursor
    second = served.run(asked, transaction)

    assert first.more_results == NOT_FINISHED
    found = [each.entity.key.path[0].id for each in (*first.entity_results, *second.entity_results)]
    asked.start_cursor = second.end_cursor
    found += served.names(asked, transaction)
    assert found == list(range(1, 13))


@pytest.fixture
def ten(served: Served) -> Served:
    """Entities 1 to 10 with a = 1, 1, 2, 2 and so on."""
    served.put_all(entity(key("K", 1 + n), a=1 + n // 2, b=1) for n in range(10))
    return served


@pytest.mark.parametrize("order", ["a", "__key__"])
def test_a_cursor_leads_on_and_ends(ten: Served, order: str) -> None:
    everything = ten.names(query("K", order=order))

    for size in range(1, 10):
        batch = ten.run(query("K", order=order, limit=size))
        assert batch.more_results == MORE_RESULTS_AFTER_LIMIT
        assert ten.names(query("K", order=order, start_cursor=batch.end_cursor)) == everything[size:]
        assert ten.names(query("K", order=order, end_cursor=batch.end_cursor)) == everything[:size]


@pytest.mark.parametrize(
    ("order", "opposite"), [("a", "-a -__key__"), ("-a", "a -__key__"), ("__key__", "-__key__")]
)
def test_a_cursor_leads_back_in_the_opposite_order(both_ways: Served, order: str, opposite: str) -> None:
    everything = both_ways.names(query("K", order=order))

    for size in range(1, 10):
        cursor = both_ways.run(query("K", order=order, limit=size)).end_cursor
        back = both_ways.names(query("K", order=opposite, start_cursor=cursor))
        assert back == everything[:size][::-1]


def test_distinct_results_go_back_from_a_cursor(both_ways: Served) -> None:
    fields: dict[str, Any] = {"projection": "a", "distinct_on": [{"name": "a"}]}
    cursor = both_ways.run(query("K", order="a", limit=3, **fields)).end_cursor

    back = both_ways.run(query("K", order="-a -__key__", start_cursor=cursor, **fields)).entity_results

    assert [each.entity.properties["a"].integer_value for each in back] == [3, 2, 1]


@pytest.fixture
def both_ways(start: Start, tmp_path: Path) -> Served:
    """As `ten`, with the indexes for the opposite orders."""
    down = "  - name: __key__\n    direction: desc\n"
    indexes = tmp_path / "index.yaml"
    indexes.write_text(
        f"indexes:\n- kind: K\n  properties:\n{down}"
        f"- kind: K\n  properties:\n  - name: a\n{down}"
        f"- kind: K\n  properties:\n  - name: a\n    direction: desc\n{down}"
    )
    served = start(indexes=indexes)
    served.put_all(entity(key("K", 1 + n), a=1 + n // 2, b=1) for n in range(10))
    return served


def test_each_result_has_a_cursor_behind_it(ten: Served) -> None:
    for number, result in enumerate(ten.run(query("K", order="a")).entity_results, 1):
        assert ten.names(query("K", order="a", start_cursor=result.cursor)) == list(range(number + 1, 11))


def test_a_cursor_stays_where_it_is_when_its_entity_goes(ten: Served) -> None:
    cursor = ten.run(query("K", order="a", limit=4)).end_cursor

    ten.commit({"delete": key("K", 4)}, {"delete": key("K", 5)})

    assert ten.names(query("K", order="a", start_cursor=cursor)) == [6, 7, 8, 9, 10]


def test_a_cursor_of_another_query_is_refused(ten: Served) -> None:
    cursor = ten.run(query("K", order="a", limit=4)).end_cursor

    for other in (query("K", order="b"), query("L", order="a"), query("")):
        other.start_cursor = cursor
        with pytest.raises(InvalidArgument, match="cursor"):
            ten.run(other)


def test_a_cursor_cut_short_is_refused_or_a_place_but_no_fault(ten: Served) -> None:
    asked = query("K", order="a", projection="a", distinct_on=[{"name": "a"}], limit=2)
    cursor = ten.run(asked).end_cursor

    for size in range(1, len(cursor)):
        asked.start_cursor = cursor[:size]
        try:
            assert len(ten.run(asked).entity_results) <= 2
        except InvalidArgument as refused:
            assert "cursor" in refused.message  # noqa: PT017  either is right


def test_an_offset_skips_and_says_how_many(ten: Served) -> None:
    batch = ten.run(query("K", order="a", offset=3, limit=2))
    assert [each.entity.key.path[0].id for each in batch.entity_results] == [4, 5]
    assert batch.skipped_results == 3
    behind = ten.run(query("K", order="a", offset=20))
    assert (len(behind.entity_results), behind.skipped_results) == (0, 10)
    assert behind.more_results == NO_MORE_RESULTS


def test_a_limit_of_none_finds_nothing(ten: Served) -> None:
    assert ten.names(query("K", limit=0)) == []


def test_distinct_results_go_on_behind_a_cursor_with_the_next_value(ten: Served) -> None:
    asked = query("K", order="a", projection="a", distinct_on=[{"name": "a"}], limit=2)
    found: list[int] = []
    for _ in range(3):
        batch = ten.run(asked)
        found += [each.entity.properties["a"].integer_value for each in batch.entity_results]
        asked.start_cursor = batch.end_cursor

    assert found == [1, 2, 3, 4, 5]


def test_an_entity_is_found_once_however_many_of_its_values_match(served: Served) -> None:
    served.put(key("K", 1), a=[1, 2, 3])

    assert served.names(query("K", where("a", "GREATER_THAN", 0))) == [1]
    assert served.names(query("K", where("a", "IN", [1, 2, 3]))) == [1]
    assert served.names(query("K", where("a", "EQUAL", 1), where("a", "EQUAL", 3))) == [1]
    assert served.names(query("K", where("a", "EQUAL", 1), where("a", "EQUAL", 4))) == []
    assert served.count(query("K", where("a", "GREATER_THAN", 0))) == 1


def test_a_projection_has_a_result_for_each_value(served: Served) -> None:
    served.put(key("K", 1), a=[3, 1, 2])

    found = served.run(query("K", projection="a")).entity_results

    assert [each.entity.properties["a"].integer_value for each in found] == [1, 2, 3]
    assert set(found[0].entity.properties) == {"a"}


def test_what_is_not_indexed_is_not_found_and_comes_back_whole(served: Served) -> None:
    served.put(key("K", 1), a=unindexed("text"), b={"c": 1}, d=unindexed({"e": 1}), empty=[])

    assert served.names(query("K", equal(a="text"))) == []
    assert served.names(query("K", equal(**{"b.c": 1}))) == [1]
    assert served.names(query("K", equal(**{"d.e": 1}))) == []
    assert served.names(query("K", order="empty")) == []
    found = served.lookup(key("K", 1)).found[0].entity
    assert found == entity(key("K", 1), a=unindexed("text"), b={"c": 1}, d=unindexed({"e": 1}), empty=[])


def test_a_key_within_a_property_is_of_the_project_unless_it_says_another(served: Served) -> None:
    bare = types.Key(path=[{"kind": "L", "id": 1}])
    served.put(key("K", 1), a=bare, b=[{"c": bare}], d=key("L", 1, project="other"))

    assert served.names(query("K", equal(a=bare))) == [1]
    assert served.names(query("K", equal(a=key("L", 1)))) == [1]
    assert served.names(query("K", equal(**{"b.c": key("L", 1)}))) == [1]
    assert served.names(query("K", equal(d=key("L", 1, project="other")))) == [1]
    assert served.names(query("K", equal(d=key("L", 1)))) == []
