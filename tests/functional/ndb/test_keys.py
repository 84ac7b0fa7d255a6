# mypy: allow-subclassing-any
"""ndb.Key: how it names an entity, reads it and deletes it."""

import pickle

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud import ndb

from tests.functional.ndb.stores import PROJECT, eventual_reads

pytestmark = pytest.mark.usefixtures("context")


class Shelf(ndb.Model):
    label = ndb.StringProperty()


def test_a_key_made_of_names_and_numbers_is_read_back_with_its_whole_path() -> None:
    key = ndb.Key("Library", "central", "Floor", 2, Shelf, "a-1")
    Shelf(key=key, label="Poetry").put()
    read = Shelf.query().get().key
    assert read == key
    assert read.flat() == ("Library", "central", "Floor", 2, "Shelf", "a-1")
    assert read.pairs() == (("Library", "central"), ("Floor", 2), ("Shelf", "a-1"))
    assert read.parent() == ndb.Key("Library", "central", "Floor", 2)
    assert read.parent().parent() == read.root() == ndb.Key("Library", "central")
    assert read.root().parent() is None


def test_a_stored_key_tells_its_kind_project_namespace_and_database() -> None:
    key = Shelf(id="a").put()
    assert (key.kind(), key.project(), key.app()) == ("Shelf", PROJECT, PROJECT)
    assert not key.namespace()
    assert not key.database()


@pytest.mark.parametrize("name", ["a", "1", "å/%: '\"\n", "€" * 500, "x" * 1500])
def test_a_name_of_any_text_up_to_1500_bytes_is_kept(name: str) -> None:
    key = Shelf(id=name, label="here").put()
    assert key.get().label == "here"
    assert (key.id(), key.string_id(), key.integer_id()) == (name, name, None)
    assert [found.id() for found in Shelf.query().fetch(keys_only=True)] == [name]


@pytest.mark.parametrize("number", [1, 2**53, 2**63 - 1])
def test_a_number_of_up_to_63_bits_is_kept(number: int) -> None:
    key = Shelf(id=number, label="here").put()
    assert key.get().label == "here"
    assert (key.id(), key.string_id(), key.integer_id()) == (number, None, number)


def test_a_name_longer_than_1500_bytes_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        Shelf(id="x" * 1501).put(retries=0)


def test_the_name_1_and_the_number_1_are_two_entities() -> None:
    Shelf(id="1", label="name").put()
    Shelf(id=1, label="number").put()
    assert Shelf.get_by_id("1").label == "name"
    assert Shelf.get_by_id(1).label == "number"


def test_a_key_without_an_id_gets_a_new_number_for_each_put() -> None:
    keys = [Shelf(key=ndb.Key(Shelf, None)).put() for _ in range(20)]
    assert len({key.integer_id() for key in keys}) == 20
    assert all(key.integer_id() > 0 for key in keys)


def test_a_new_number_below_a_parent_keeps_the_parent() -> None:
    parent = ndb.Key("Library", "central")
    key = Shelf(parent=parent).put()
    assert key.parent() == parent
    assert key.get() is not None


def test_an_urlsafe_key_leads_back_to_the_entity() -> None:
    key = Shelf(id="a", parent=ndb.Key("Library", 7), label="Poetry").put()
    assert ndb.Key(urlsafe=key.urlsafe()).get().label == "Poetry"
    assert ndb.Key(urlsafe=key.urlsafe().decode()) == key


def test_a_serialized_or_pickled_key_or_its_reference_leads_back_to_the_entity() -> None:
    key = Shelf(id="a", label="Poetry").put()
    assert ndb.Key(serialized=key.serialized()).get().label == "Poetry"
    assert ndb.Key(reference=key.reference()).get().label == "Poetry"
    assert pickle.loads(pickle.dumps(key)).get().label == "Poetry"


def test_a_legacy_urlsafe_key_of_the_first_runtime_is_understood() -> None:
    key = Shelf(id="a", label="Poetry").put()
    legacy = ndb.Key(urlsafe=key.to_legacy_urlsafe("s~"))
    assert legacy.get().label == "Poetry"


def test_keys_are_made_of_pairs_a_flat_path_or_a_parent_alike() -> None:
    key = Shelf(key=ndb.Key(pairs=[("Library", 1), ("Shelf", "a")]), label="Poetry").put()
    assert key == ndb.Key(flat=["Library", 1, "Shelf", "a"])
    assert key == ndb.Key(Shelf, "a", parent=ndb.Key("Library", 1))
    assert ndb.Key(Shelf, "a", parent=ndb.Key("Library", 1)).get().label == "Poetry"


def test_a_key_is_hashable_and_shown_as_it_is_written() -> None:
    key = Shelf(id="a").put()
    assert {key: "found"}[Shelf.query().get(keys_only=True)] == "found"
    assert repr(key) == "Key('Shelf', 'a')"


def test_keys_sort_numbers_before_names_and_parents_before_children() -> None:
    paths: list[tuple[str | int, ...]] = [("Shelf", "b"), ("Shelf", 10, "Shelf", 1), ("Shelf", 10)]
    paths += [("Shelf", "a"), ("Shelf", 9), ("Shelf", "a", "Shelf", "z")]
    ndb.put_multi([Shelf(key=ndb.Key(*path)) for path in paths])
    assert [key.flat() for key in Shelf.query().order(Shelf.key).fetch(keys_only=True)] == [
        ("Shelf", 9),
        ("Shelf", 10),
        ("Shelf", 10, "Shelf", 1),
        ("Shelf", "a"),
        ("Shelf", "a", "Shelf", "z"),
        ("Shelf", "b"),
    ]


def test_keys_compare_as_the_datastore_orders_them_within_one_kind_of_id() -> None:
    ndb.put_multi([Shelf(id=name) for name in ("b", "a", "c")])
    read = Shelf.query().order(Shelf.key).fetch(keys_only=True)
    assert read == sorted(read)
    assert read[0] < read[1] <= read[2]
    assert read[2] > read[1] >= read[0]


def test_get_answers_none_where_there_is_nothing() -> None:
    assert ndb.Key(Shelf, "nowhere").get() is None
    assert ndb.Key(Shelf, "nowhere").get_async().result() is None


def test_get_async_answers_with_the_entity() -> None:
    key = Shelf(label="Poetry").put()
    assert key.get_async().result().label == "Poetry"


def test_a_deleted_entity_is_gone_and_deleting_it_again_is_no_error() -> None:
    key = Shelf().put()
    key.delete()
    assert key.get() is None
    assert Shelf.query().count() == 0
    key.delete()


def test_delete_async_deletes() -> None:
    key = Shelf().put()
    assert key.delete_async().result() is None
    assert key.get() is None


def test_deleting_a_parent_leaves_its_children() -> None:
    parent = Shelf(id="parent").put()
    child = Shelf(parent=parent).put()
    parent.delete()
    assert child.get() is not None


def test_get_takes_a_time_limit_a_number_of_retries_and_strong_consistency() -> None:
    key = Shelf(label="Poetry").put()
    assert key.get(read_consistency=ndb.STRONG, timeout=20, retries=0).label == "Poetry"


@eventual_reads
@pytest.mark.parametrize("consistency", [ndb.EVENTUAL, ndb.EVENTUAL_CONSISTENCY])
def test_get_takes_eventual_consistency(consistency: int) -> None:
    key = Shelf(label="Poetry").put()
    assert key.get(read_consistency=consistency).label == "Poetry"
    assert Shelf.query().get(read_consistency=consistency).label == "Poetry"


def test_an_incomplete_key_cannot_be_read_or_deleted() -> None:
    with pytest.raises(InvalidArgument):
        ndb.Key(Shelf, None).get(retries=0)
    with pytest.raises(InvalidArgument):
        ndb.Key(Shelf, None).delete(retries=0)


def test_a_reserved_kind_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        ndb.Model(key=ndb.Key("__Shelf__", "a")).put(retries=0)


def test_a_key_of_another_project_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        Shelf(key=ndb.Key(Shelf, "a", project="another")).put(retries=0)
