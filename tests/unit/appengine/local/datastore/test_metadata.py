"""Namespaces, kinds and properties are queried as entities, also by NDB's own functions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core.exceptions import AlreadyExists, InvalidArgument
from google.cloud import ndb
from google.cloud.ndb import metadata

from tests.datastores import as_emulator_host
from tests.unit.appengine.local.datastore.conftest import Start
from tests.unit.appengine.local.datastore.messages import below, entity, key, point, query, unindexed, where
from tests.unit.appengine.local.datastore.served import Served


@pytest.fixture
def filled(served: Served) -> Served:
    """Two kinds in the default namespace, one in another."""
    served.put(key("Ant", 1), legs=6, name="a", hidden=unindexed(1), at={"nest": 1})
    served.put(key("Ant", 2), legs="six")
    served.put(key("Bee", 1), wings=2.0, place=point(1, 2), queen=key("Bee", 2), old=None, busy=True)
    served.put(key("Cat", 1, namespace="n"))
    return served


@pytest.fixture
def context(filled: Served) -> Iterator[ndb.Context]:
    with as_emulator_host(filled.host):
        client = ndb.Client(project="p")
        with client.context() as context:
            yield context
        client.stub.close()


def test_ndb_lists_namespaces_and_kinds(context: ndb.Context) -> None:
    assert metadata.get_namespaces() == ["", "n"]
    assert metadata.get_namespaces(start="a") == ["n"]
    assert metadata.get_kinds() == ["Ant", "Bee"]
    assert metadata.get_kinds(start="B") == ["Bee"]
    assert metadata.get_kinds(end="B") == ["Ant"]


def test_ndb_lists_the_indexed_properties_of_a_kind(context: ndb.Context) -> None:
    assert metadata.get_properties_of_kind("Ant") == ["at.nest", "legs", "name"]
    assert metadata.get_properties_of_kind("Ant", start="b", end="m") == ["legs"]
    assert metadata.get_properties_of_kind("Cat") == []


def test_ndb_lists_the_types_of_properties(context: ndb.Context) -> None:
    assert metadata.get_representations_of_kind("Ant")["legs"] == ["INT64", "STRING"]
    assert metadata.get_representations_of_kind("Bee") == {
        "wings": ["DOUBLE"],
        "place": ["POINT"],
        "queen": ["REFERENCE"],
        "old": ["NULL"],
        "busy": ["BOOLEAN"],
    }


def test_metadata_are_queried_by_key_and_ancestor(filled: Served) -> None:
    assert filled.names(query("__namespace__")) == [1, "n"]
    assert filled.names(query("__kind__")) == ["Ant", "Bee"]
    kinds = query("__kind__", where("__key__", "GREATER_THAN", key("__kind__", "Ant")))
    assert filled.names(kinds) == ["Bee"]
    assert filled.names(query("__property__", below(key("__kind__", "Ant")))) == ["at.nest", "legs", "name"]
    other = filled.names(query("__kind__"), partition_id={"project_id": "p", "namespace_id": "n"})
    assert other == ["Cat"]


def test_a_query_of_all_kinds_finds_no_metadata(filled: Served) -> None:
    assert filled.names(query("")) == [1, 2, 1]
    assert filled.count(query("")) == 3


def test_metadata_are_written_by_the_datastore_alone(filled: Served) -> None:
    with pytest.raises(InvalidArgument, match="reserved"):
        filled.put(key("__kind__", "Dog"))


def test_a_kind_whose_first_commit_failed_is_listed_once_there_is_one(filled: Served) -> None:
    with pytest.raises(AlreadyExists):
        filled.commit({"upsert": entity(key("Dog", 1), barks=True)}, {"insert": entity(key("Ant", 1))})
    assert filled.names(query("__kind__")) == ["Ant", "Bee"]

    filled.put(key("Dog", 1), barks=True)

    assert filled.names(query("__kind__")) == ["Ant", "Bee", "Dog"]
    assert filled.names(query("__property__", below(key("__kind__", "Dog")))) == ["barks"]


def test_what_is_known_is_not_listed_twice_after_a_restart(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        served = Served.start(tmp_path / "datastore.sqlite3")
        served.put(key("Ant", 1), legs=6)
        served.stop()

    again = start(tmp_path / "datastore.sqlite3")

    legs = again.lookup(key("__kind__", "Ant", "__property__", "legs")).found[0].entity
    listed = legs.properties["property_representation"].array_value.values
    assert [each.string_value for each in listed] == ["INT64"]
    assert again.names(query("__kind__")) == ["Ant"]


def test_after_a_reset_only_new_kinds_are_listed(filled: Served) -> None:
    filled.unary("/reset")
    assert filled.names(query("__namespace__")) == filled.names(query("__kind__")) == []

    filled.put(key("Bee", 1), wings=2)

    assert filled.names(query("__kind__")) == ["Bee"]
    assert filled.names(query("__property__")) == ["wings"]
