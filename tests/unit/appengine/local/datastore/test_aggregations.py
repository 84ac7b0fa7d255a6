"""COUNT, SUM and AVG.

https://cloud.google.com/datastore/docs/aggregation-queries
"""

import math
from typing import Any

import pytest
from google.api_core.exceptions import FailedPrecondition, InvalidArgument
from google.cloud.datastore_v1 import types

from tests.unit.appengine.local.datastore.messages import entity, equal, key, query, unindexed, where
from tests.unit.appengine.local.datastore.served import Served

COUNT: dict[str, Any] = {"count": {}}
SUM: dict[str, Any] = {"sum": {"property": {"name": "a"}}}
AVG: dict[str, Any] = {"avg": {"property": {"name": "a"}}}


def aggregated(served: Served, asked: types.Query, *aggregations: dict[str, Any]) -> dict[str, Any]:
    """The results by their aliases; integers are int, doubles are float."""
    request = {"nested_query": asked, "aggregations": aggregations}
    answer = served.call("run_aggregation_query", aggregation_query=request)
    found = answer.batch.aggregation_results[0].aggregate_properties
    kinds = {name: types.Value.pb(value).WhichOneof("value_type") for name, value in found.items()}
    return {
        name: None if kinds[name] == "null_value" else getattr(found[name], kinds[name]) for name in kinds
    }


def put(served: Served, *values: Any) -> None:
    served.put_all(entity(key("K", 1 + number), a=value) for number, value in enumerate(values))


def test_a_count_a_sum_and_an_average_come_in_one_answer(served: Served) -> None:
    put(served, 1, 2, 4, 5)

    found = aggregated(served, query("K", where("a", "GREATER_THAN", 1)), COUNT, SUM, AVG | {"alias": "mean"})

    assert found == {"property_1": 3, "property_2": 11, "mean": 11 / 3}


def test_what_is_no_number_counts_but_adds_nothing(served: Served) -> None:
    put(served, 1, 2.5, "3", None, True)

    assert aggregated(served, query("K"), COUNT | {"alias": "n"}, SUM, AVG) == {
        "n": 5,
        "property_1": 3.5,
        "property_2": 1.75,
    }


def test_a_sum_of_integers_is_one_unless_it_is_too_large(served: Served) -> None:
    put(served, (1 << 63) - 2, 1)
    assert aggregated(served, query("K"), SUM) == {"property_1": (1 << 63) - 1}

    served.put(key("K", 3), a=1)
    found = aggregated(served, query("K"), SUM)["property_1"]
    assert (type(found), found) == (float, float(1 << 63))


def test_nothing_sums_to_zero_and_has_no_average(served: Served) -> None:
    assert aggregated(served, query("K"), COUNT, SUM, AVG) == {
        "property_1": 0,
        "property_2": 0,
        "property_3": None,
    }


@pytest.mark.parametrize(
    ("values", "total", "mean"),
    [
        ([math.inf, -math.inf], math.nan, math.nan),
        ([math.inf, 1], math.inf, math.inf),
        ([math.nan, 1], math.nan, math.nan),
        ([1e308, 1e308], math.inf, math.inf),
    ],
)
def test_infinity_and_nan_follow_ieee_754(
    served: Served, values: list[float], total: float, mean: float
) -> None:
    put(served, *values)

    found = aggregated(served, query("K"), SUM, AVG)

    assert [found["property_1"], found["property_2"]] == pytest.approx([total, mean], nan_ok=True)


def test_limit_offset_and_up_to_bound_the_count(served: Served) -> None:
    put(served, *range(10))

    assert aggregated(served, query("K", limit=4), COUNT, SUM) == {"property_1": 4, "property_2": 6}
    assert aggregated(served, query("K", order="a", offset=7), COUNT, SUM) == {
        "property_1": 3,
        "property_2": 24,
    }
    assert aggregated(served, query("K"), {"count": {"up_to": 3}}) == {"property_1": 3}
    assert aggregated(served, query("K"), {"count": {"up_to": 30}}) == {"property_1": 10}


def test_a_sum_leaves_out_entities_that_lack_the_property(served: Served) -> None:
    put(served, 1, unindexed(2), [])

    assert aggregated(served, query("K"), COUNT) == {"property_1": 3}
    assert aggregated(served, query("K"), COUNT, SUM) == {"property_1": 1, "property_2": 1}


def test_a_filtered_sum_needs_an_index_as_its_projection_does(served: Served) -> None:
    with pytest.raises(FailedPrecondition, match="- name: b\n  - name: a\n"):
        aggregated(served, query("K", equal(b=1)), SUM)
    assert aggregated(served, query("K", equal(b=1)), COUNT) == {"property_1": 0}


WRONG: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "six": [COUNT] * 6,
    "one without operator": [{"alias": "n"}],
    "one alias twice": [COUNT | {"alias": "n"}, SUM | {"alias": "n"}],
    "a reserved alias": [COUNT | {"alias": "__n__"}],
    "up to less than one": [{"count": {"up_to": -1}}],
    "a sum of keys": [{"sum": {"property": {"name": "__key__"}}}],
}


@pytest.mark.parametrize("aggregations", WRONG.values(), ids=WRONG.keys())
def test_illegal_aggregations_are_refused(served: Served, aggregations: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidArgument):
        aggregated(served, query("K"), *aggregations)
