"""Requests that no client of Google's would send: ours and Google's emulators answer with the same status."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from google.api_core import exceptions

from tests import datastores
from tests.datastores import DATASTORE_EMULATOR, EMBEDDED, FIRESTORE_EMULATOR
from tests.functional.datastore.messages import PROJECT, entity_message, key_message
from tests.functional.datastore.steps import Entity, Key
from tests.functional.datastore.test_differential import require
from tests.functional.datastore.through_api import Api, connect

ANT = Key(("Ant", 1))
A, ELSEWHERE, INCOMPLETE = key_message(ANT), key_message(Key(("Ant", 1), "n")), key_message(Key(("Ant",)))
ONE = {"integer_value": 1}
ENTITY = entity_message(Entity(ANT, {"a": 1}))


def namespaced(namespace: str) -> dict[str, Any]:
    return key_message(Key(("Ant", 1), namespace))


KEYS = {
    "id 0": {"path": [{"kind": "Ant", "id": 0}]},
    "a negative id": {"path": [{"kind": "Ant", "id": -5}]},
    "an empty name": {"path": [{"kind": "Ant", "name": ""}]},
    "a reserved kind": {"path": [{"kind": "__x__", "id": 1}]},
    "a reserved name": {"path": [{"kind": "Ant", "name": "__x__"}]},
    "an empty kind": {"path": [{"kind": "", "id": 1}]},
    "no path": {},
    "an incomplete parent": {"path": [{"kind": "Ant"}, {"kind": "Bee", "id": 1}]},
    "another project": {"partition_id": {"project_id": "other"}, "path": [{"kind": "Ant", "id": 1}]},
    "a name of 1501 bytes": {"path": [{"kind": "Ant", "name": "x" * 1501}]},
    "a name of 1500 bytes": {"path": [{"kind": "Ant", "name": "x" * 1500}]},
    "a path of 100 parts": {"path": [{"kind": "Ant", "id": 1}] * 100},
    "a path of 101 parts": {"path": [{"kind": "Ant", "id": 1}] * 101},
    "a space in the namespace": namespaced("a b"),
    "a reserved namespace": namespaced("__a__"),
    "a namespace of 100 bytes": namespaced("a" * 100),
    "a namespace of 101 bytes": namespaced("a" * 101),
}
PROPERTIES = {
    "an empty name": {"": ONE},
    "a reserved name": {"__a__": ONE},
    "the key's name": {"__key__": ONE},
    "a dot in the name": {"a.b": ONE},
    "1501 bytes": {"a": {"string_value": "x" * 1501}},
    "1500 bytes": {"a": {"string_value": "x" * 1500}},
    "1502 bytes of 751 characters": {"a": {"string_value": "é" * 751}},
    "a blob of 1501 bytes": {"a": {"blob_value": b"x" * 1501}},
    "1501 bytes in an array": {"a": {"array_value": {"values": [{"string_value": "x" * 1501}]}}},
    "1501 bytes within": {"a": {"entity_value": {"properties": {"x": {"string_value": "x" * 1501}}}}},
    "an array in an array": {"a": {"array_value": {"values": [{"array_value": {"values": [ONE]}}]}}},
    "an entity with an incomplete key": {"a": {"entity_value": {"key": INCOMPLETE}}},
    "an incomplete key": {"a": {"key_value": INCOMPLETE}},
    "a latitude of 91": {"a": {"geo_point_value": {"latitude": 91, "longitude": 0}}},
    "a time before year 1": {"a": {"timestamp_value": {"seconds": -62135596801}}},
    "no value": {"a": {}},
    "NUL": {"a": {"string_value": "\0"}},
}


def where(name: str, op: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"filter": {"property_filter": {"property": {"name": name}, "op": op, "value": value}}}


def both(op: str, *wheres: dict[str, Any]) -> dict[str, Any]:
    return {"filter": {"composite_filter": {"op": op, "filters": [each["filter"] for each in wheres]}}}


def array(*values: dict[str, Any]) -> dict[str, Any]:
    return {"array_value": {"values": list(values)}}


def order(*names: str) -> dict[str, Any]:
    return {"order": [{"property": {"name": name}, "direction": "ASCENDING"} for name in names]}


def names(field: str, *properties: str) -> dict[str, Any]:
    if field == "distinct_on":
        return {field: [{"name": name} for name in properties]}
    return {field: [{"property": {"name": name}} for name in properties]}


QUERIES = {
    "two kinds": {"kind": [{"name": "Ant"}, {"name": "Bee"}]},
    "a negative offset": {"offset": -1},
    "a negative limit": {"limit": -1},
    "limit 0": {"limit": 0},
    "the key and a number": where("__key__", "EQUAL", ONE),
    "a key of another namespace": where("__key__", "GREATER_THAN", {"key_value": ELSEWHERE}),
    "an incomplete key": where("__key__", "GREATER_THAN", {"key_value": INCOMPLETE}),
    "an ancestor of another namespace": where("__key__", "HAS_ANCESTOR", {"key_value": ELSEWHERE}),
    "an incomplete ancestor": where("__key__", "HAS_ANCESTOR", {"key_value": INCOMPLETE}),
    "the ancestor of a property": where("a", "HAS_ANCESTOR", {"key_value": A}),
    "an array": where("a", "EQUAL", array(ONE)),
    "an entity": where("a", "EQUAL", {"entity_value": {}}),
    "no operator": where("a", "OPERATOR_UNSPECIFIED", ONE),
    "no value": where("a", "EQUAL", {}),
    "an empty name": where("", "EQUAL", ONE),
    "a value of 1501 bytes": where("a", "EQUAL", {"string_value": "x" * 1501}),
    "an unindexed value": where("a", "EQUAL", ONE | {"exclude_from_indexes": True}),
    "no filters": both("AND"),
    "no operator between filters": both("OPERATOR_UNSPECIFIED", where("a", "EQUAL", ONE)),
    "two properties unequal": both("AND", where("a", "NOT_EQUAL", ONE), where("b", "NOT_EQUAL", ONE)),
    "two values unequal": both("AND", where("a", "NOT_EQUAL", ONE), where("a", "NOT_EQUAL", ONE)),
    "an order without direction": names("order", "a"),
    "a projection of an equality": names("projection", "a") | where("a", "EQUAL", ONE),
    "a property projected twice": names("projection", "a", "a"),
    "a property distinct twice": names("distinct_on", "a", "a"),
    "distinct keys": names("distinct_on", "__key__"),
    "distinct behind another order": names("distinct_on", "a") | order("b", "a"),
    "distinct behind another order, unsaid": names("distinct_on", "a") | order("b"),
    "distinct behind the key": names("distinct_on", "a") | order("__key__"),
}
NEWER_QUERIES = {
    "IN nothing": where("a", "IN", {"array_value": {}}),
    "IN 31 values": where("a", "IN", array(*({"integer_value": number} for number in range(31)))),
    "IN a value": where("a", "IN", ONE),
    "NOT_IN nothing": where("a", "NOT_IN", {"array_value": {}}),
    "NOT_IN 11 values": where("a", "NOT_IN", array(*({"integer_value": number} for number in range(11)))),
    "NOT_IN with OR": both("OR", where("a", "NOT_IN", array(ONE)), where("b", "EQUAL", ONE)),
    "NOT_IN with IN": both(
        "AND", where("a", "NOT_IN", array(ONE)), where("b", "IN", array(ONE, {"null_value": 0}))
    ),
    "an ancestor in one alternative": both(
        "OR", where("__key__", "HAS_ANCESTOR", {"key_value": A}), where("b", "EQUAL", ONE)
    ),
}
AGGREGATIONS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "five": [{"count": {}}] * 5,
    "one alias twice": [{"count": {}, "alias": "a"}] * 2,
    "a reserved alias": [{"count": {}, "alias": "__a__"}],
    "up to less than nothing": [{"count": {"up_to": -1}}],
    "up to nothing": [{"count": {"up_to": 0}}],
    "the sum of keys": [{"sum": {"property": {"name": "__key__"}}}],
    "the sum of nothing": [{"sum": {}}],
    "no operator": [{}],
}
UPSERT, INSERT, UPDATE, DELETE = {"upsert": ENTITY}, {"insert": ENTITY}, {"update": ENTITY}, {"delete": A}
SINGLE_USE = {"mode": "TRANSACTIONAL", "single_use_transaction": {"read_write": {}}}
COMMITS: dict[str, dict[str, Any]] = {
    "an insert with a base version": {"mutations": [INSERT | {"base_version": 1}]},
    "an insert of what is there": {"mutations": [INSERT]},
    "an update of what is missing": {"mutations": [{"update": entity_message(Entity(Key(("Ant", 7)), {}))}]},
    "one entity twice": {"mutations": [UPSERT, UPSERT]},
    "one entity twice in a transaction": SINGLE_USE | {"mutations": [UPSERT, UPSERT]},
    "delete, insert": SINGLE_USE | {"mutations": [DELETE, INSERT]},
    "other base versions": SINGLE_USE | {"mutations": [UPSERT, UPSERT | {"base_version": 1}]},
    "a read-only single-use transaction": {
        "mode": "TRANSACTIONAL",
        "single_use_transaction": {"read_only": {}},
        "mutations": [UPSERT],
    },
    "no transaction": {"mode": "TRANSACTIONAL", "mutations": [UPSERT]},
    "an unknown transaction": {"mode": "TRANSACTIONAL", "transaction": b"x", "mutations": [UPSERT]},
    "no mode": {"mode": "MODE_UNSPECIFIED", "mutations": [UPSERT]},
    "a delete of an incomplete key": {"mutations": [{"delete": INCOMPLETE}]},
}
NEWER_COMMITS = {  # https://cloud.google.com/datastore/docs/reference/data/rpc/google.datastore.v1#commitrequest
    "insert, insert": SINGLE_USE | {"mutations": [DELETE, INSERT, INSERT]},
    "upsert, insert": SINGLE_USE | {"mutations": [UPSERT, INSERT]},
    "update, insert": SINGLE_USE | {"mutations": [UPDATE, INSERT]},
    "delete, update": SINGLE_USE | {"mutations": [DELETE, UPDATE]},
}
type Call = tuple[str, dict[str, Any]]
PARTITION = {"partition_id": {"project_id": PROJECT}}


def put(entity: dict[str, Any]) -> Call:
    return "commit", {"mode": "NON_TRANSACTIONAL", "mutations": [{"upsert": entity}]}


def commit(fields: dict[str, Any]) -> Call:
    return "commit", {"mode": "NON_TRANSACTIONAL"} | fields


def query(fields: dict[str, Any]) -> Call:
    return "run_query", PARTITION | {"query": {"kind": [{"name": "Ant"}]} | fields}


def aggregation(functions: list[dict[str, Any]]) -> Call:
    nested = {"nested_query": {"kind": [{"name": "Ant"}]}, "aggregations": functions}
    return "run_aggregation_query", PARTITION | {"aggregation_query": nested}


def named(what: str, make: Callable[[Any], Call], cases: dict[str, Any]) -> dict[str, Call]:
    return {f"{what}: {name}": make(case) for name, case in cases.items()}


CALLS = {
    **named("put", lambda key: put({"key": key}), KEYS),
    **named("look up", lambda key: ("lookup", {"keys": [key]}), KEYS),
    **named("put", lambda properties: put({"key": A, "properties": properties}), PROPERTIES),
    **named("query", query, QUERIES),
    **named("commit", commit, COMMITS),
    "allocate a complete key": ("allocate_ids", {"keys": [A]}),
    "reserve an incomplete key": ("reserve_ids", {"keys": [INCOMPLETE]}),
    "look up nothing": ("lookup", {"keys": []}),
}
NEWER_CALLS = {  # for the Firestore emulator alone
    **named("query", query, NEWER_QUERIES),
    **named("aggregate", aggregation, AGGREGATIONS),
    **named("commit", commit, NEWER_COMMITS),
}


@pytest.fixture(scope="module")
def apis() -> Iterator[dict[str, Api]]:
    """Connections to all three. Each has one Ant."""
    require(DATASTORE_EMULATOR, FIRESTORE_EMULATOR)
    with ExitStack() as stack:
        apis = {}
        for name in datastores.ALL:
            apis[name] = Api(connect(stack.enter_context(datastores.running(name)).host))
        yield apis


def status(api: Api, call: Call) -> str:
    method, fields = call
    api.call("commit", mode="NON_TRANSACTIONAL", mutations=[UPSERT])
    try:
        api.call(method, **fields)
    except exceptions.GoogleAPICallError as error:
        return str(error.grpc_status_code and error.grpc_status_code.name)
    return "OK"


@pytest.mark.parametrize("name", CALLS)
def test_all_three_answer_with_the_same_status(apis: dict[str, Api], name: str) -> None:
    seen = {side: status(api, CALLS[name]) for side, api in apis.items()}
    assert len(set(seen.values())) == 1, seen


@pytest.mark.parametrize("name", NEWER_CALLS)
def test_two_answer_with_the_same_status(apis: dict[str, Api], name: str) -> None:
    assert status(apis[EMBEDDED], NEWER_CALLS[name]) == status(apis[FIRESTORE_EMULATOR], NEWER_CALLS[name])
