"""What is not there is refused by name."""

from typing import Any

import grpc
import pytest
from google.api_core.exceptions import MethodNotImplemented

from tests.unit.appengine.local.datastore.messages import entity, key, query
from tests.unit.appengine.local.datastore.served import Served

K = key("K", 1)
COUNT = {"nested_query": query("K"), "aggregations": [{"count": {}}]}
GQL = {"query_string": "SELECT * FROM K"}
NEAREST = query(
    "K",
    find_nearest={
        "vector_property": {"name": "v"},
        "query_vector": {"array_value": {"values": [{"double_value": 1.0}]}},
        "distance_measure": 1,
        "limit": 1,
    },
)
AT = {"read_time": {"seconds": 1_700_000_000}}

REQUESTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a query in GQL": ("run_query", {"gql_query": GQL}, "gql_query"),
    "an aggregation in GQL": ("run_aggregation_query", {"gql_query": GQL}, "gql_query"),
    "a lookup in the past": ("lookup", {"keys": [K], "read_options": AT}, "read_time"),
    "a query in the past": ("run_query", {"query": query("K"), "read_options": AT}, "read_time"),
    "find_nearest": ("run_query", {"query": NEAREST}, "find_nearest"),
    "a masked lookup": ("lookup", {"keys": [K], "property_mask": {"paths": ["a"]}}, "property_mask"),
    "a masked query": (
        "run_query",
        {"query": query("K"), "property_mask": {"paths": ["a"]}},
        "property_mask",
    ),
    "an explained aggregation": (
        "run_aggregation_query",
        {"aggregation_query": COUNT, "explain_options": {"analyze": True}},
        "explain_options",
    ),
}


@pytest.mark.parametrize(("method", "request_", "named"), REQUESTS.values(), ids=REQUESTS.keys())
def test_what_is_not_implemented_is_refused_by_name(
    served: Served, method: str, request_: dict[str, Any], named: str
) -> None:
    with pytest.raises(MethodNotImplemented, match=named):
        served.call(method, **request_)


MUTATIONS: dict[str, dict[str, Any]] = {
    "property_mask": {"upsert": entity(K, a=1), "property_mask": {"paths": ["a"]}},
    "property_transforms": {
        "upsert": entity(K),
        "property_transforms": [{"property": "a", "increment": {"integer_value": 1}}],
    },
}


@pytest.mark.parametrize(("named", "mutation"), MUTATIONS.items(), ids=MUTATIONS.keys())
def test_what_a_mutation_cannot_do_is_refused_by_name_and_not_left_out(
    served: Served, named: str, mutation: dict[str, Any]
) -> None:
    with pytest.raises(MethodNotImplemented, match=named):
        served.commit(mutation)
    assert not served.lookup(K).found


@pytest.mark.parametrize(
    "path",
    [
        "/google.datastore.v1.Datastore/Undo",
        "/google.datastore.admin.v1.DatastoreAdmin/ExportEntities",
        "/google.firestore.v1.Firestore/Commit",
        "/",
    ],
)
def test_an_unknown_call_is_refused_by_name(served: Served, path: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        served.unary(path)

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert path in refused.value.details()


def test_nonsense_for_a_request_is_an_error_and_the_next_is_answered(served: Served) -> None:
    with pytest.raises(grpc.RpcError):
        served.unary("/google.datastore.v1.Datastore/Commit", b"nonsense")

    served.put(K)
