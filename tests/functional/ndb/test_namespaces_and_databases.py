# mypy: allow-subclassing-any
"""Namespaces divide a database, databases divide a project; NDB's metadata queries tell what is in them."""

import pytest
from google.cloud import ndb
from google.cloud.ndb import metadata

from tests.datastores import Datastore
from tests.functional.ndb.stores import metadata_queries, named_databases, new_client, uncached


class Letter(ndb.Model):
    text = ndb.StringProperty()
    weight = ndb.IntegerProperty()
    stamp = ndb.IntegerProperty(indexed=False)


def texts() -> list[str]:
    return sorted(letter.text for letter in Letter.query())


def test_the_client_s_namespace_holds_for_keys_puts_and_queries(store: Datastore, client: ndb.Client) -> None:
    tenant = new_client(store.host, namespace="tenant")
    with uncached(tenant) as context:
        key = Letter(id="a", text="of the tenant").put()
        assert (key.namespace(), context.get_namespace()) == ("tenant", "tenant")
        assert texts() == ["of the tenant"]
    with uncached(client):
        assert Letter.get_by_id("a") is None
        assert texts() == []
        assert key.get().text == "of the tenant"
    tenant.stub.close()


def test_a_context_s_namespace_takes_the_place_of_the_client_s(client: ndb.Client) -> None:
    for namespace in ("one", "two", ""):
        with uncached(client, namespace=namespace):
            Letter(id="a", text=f"in {namespace}").put()
    for namespace in ("one", "two", ""):
        with uncached(client, namespace=namespace):
            assert texts() == [f"in {namespace}"]
            assert Letter.get_by_id("a").text == f"in {namespace}"


def test_a_key_and_a_query_may_name_a_namespace(client: ndb.Client) -> None:
    with uncached(client):
        key = Letter(key=ndb.Key(Letter, "a", namespace="one"), text="in one").put()
        Letter(id="a", namespace="two", text="in two").put()
        assert key.get().text == Letter.get_by_id("a", namespace="one").text == "in one"
        assert Letter.query(namespace="two").get().text == "in two"
        assert Letter.query().get() is None
        assert Letter.get_or_insert("b", namespace="one", text="new").key.namespace() == "one"


def test_a_child_is_in_its_parent_s_namespace(client: ndb.Client) -> None:
    with uncached(client):
        parent = ndb.Key("Box", 1, namespace="one")
        child = Letter(parent=parent, text="child").put()
        assert child.namespace() == "one"
        assert Letter.query(ancestor=parent).get().text == "child"


def test_one_transaction_spans_namespaces(client: ndb.Client) -> None:
    def put_both() -> None:
        Letter(id="a", namespace="one", text="one").put()
        Letter(id="a", namespace="two", text="two").put()

    with uncached(client):
        ndb.transaction(put_both)
        assert [Letter.get_by_id("a", namespace=name).text for name in ("one", "two")] == ["one", "two"]


@named_databases
def test_a_named_database_is_apart_from_the_default_one(store: Datastore, client: ndb.Client) -> None:
    archive = new_client(store.host, database="archive")
    with uncached(archive):
        key = Letter(id="a", text="archived").put()
        assert key.database() == "archive"
        assert key.get().text == "archived"
        assert texts() == ["archived"]
    with uncached(client):
        assert Letter.get_by_id("a") is None
        assert texts() == []
        Letter(id="a", text="current").put()
    with uncached(archive):
        assert texts() == ["archived"]
    archive.stub.close()


@named_databases
def test_a_named_database_has_transactions_namespaces_and_ids_of_its_own(store: Datastore) -> None:
    archive = new_client(store.host, database="archive", namespace="tenant")

    def change(key: ndb.Key) -> None:
        letter = key.get()
        letter.text = "changed"
        letter.put()

    with uncached(archive):
        (key,) = Letter.allocate_ids(1)
        assert (key.database(), key.namespace()) == ("archive", "tenant")
        Letter(key=key, text="a").put()
        ndb.transaction(lambda: change(key))
        assert Letter.query(Letter.text == "changed").get().key == key
        key.delete()
        assert key.get() is None
    archive.stub.close()


@metadata_queries
def test_the_kinds_of_a_namespace_are_listed(client: ndb.Client) -> None:
    with uncached(client):
        Letter(text="a").put()
        ndb.Model(key=ndb.Key("Box", 1)).put()
        ndb.Model(key=ndb.Key("Elsewhere", 1, namespace="one")).put()
        assert metadata.get_kinds() == ["Box", "Letter"]
        assert metadata.get_kinds(start="C") == ["Letter"]
        assert metadata.get_kinds(end="C") == ["Box"]


@metadata_queries
def test_the_namespaces_of_a_database_are_listed(client: ndb.Client) -> None:
    with uncached(client):
        for namespace in ("", "one", "two"):
            Letter(id="a", namespace=namespace, text="a").put()
        assert metadata.get_namespaces() == ["", "one", "two"]
        assert metadata.get_namespaces(start="one", end="two") == ["one"]


@metadata_queries
def test_the_indexed_properties_of_a_kind_are_listed_with_their_types(client: ndb.Client) -> None:
    with uncached(client):
        Letter(text="a", weight=5, stamp=1).put()
        assert metadata.get_properties_of_kind("Letter") == ["text", "weight"]
        assert metadata.get_properties_of_kind("Letter", start="u") == ["weight"]
        assert metadata.get_representations_of_kind("Letter") == {"text": ["STRING"], "weight": ["INT64"]}


@pytest.mark.parametrize("database", [None, ""])
def test_the_default_database_has_no_name(store: Datastore, database: str | None) -> None:
    client = new_client(store.host, database=database)
    with uncached(client):
        assert not Letter(text="a").put().database()
    client.stub.close()
