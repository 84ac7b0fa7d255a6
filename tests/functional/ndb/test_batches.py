# mypy: allow-subclassing-any
"""Many entities in one call."""

import pytest
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument
from google.cloud import ndb

pytestmark = pytest.mark.usefixtures("context")


class Item(ndb.Model):
    number = ndb.IntegerProperty()
    content = ndb.BlobProperty()


def test_put_multi_puts_all_and_answers_with_their_keys_in_order() -> None:
    keys = ndb.put_multi([Item(number=number) for number in range(30)])
    assert [key.get().number for key in keys] == list(range(30))
    assert len(set(keys)) == 30


def test_get_multi_answers_in_the_order_asked_with_none_for_what_is_missing() -> None:
    ndb.put_multi([Item(id=number, number=number) for number in (1, 2, 3)])
    found = ndb.get_multi([ndb.Key(Item, number) for number in (3, 99, 1)])
    assert [item and item.number for item in found] == [3, None, 1]


def test_get_multi_of_the_same_key_twice_answers_twice() -> None:
    key = Item(number=1).put()
    assert [item.number for item in ndb.get_multi([key, key])] == [1, 1]


def test_delete_multi_deletes_all_also_what_is_not_there() -> None:
    keys = ndb.put_multi([Item(number=number) for number in range(5)])
    assert ndb.delete_multi([*keys, ndb.Key(Item, 99)]) == [None] * 6
    assert ndb.get_multi(keys) == [None] * 5


def test_the_async_forms_answer_with_one_future_for_each() -> None:
    futures = ndb.put_multi_async([Item(number=number) for number in range(3)])
    keys = [future.result() for future in futures]
    assert [future.result().number for future in ndb.get_multi_async(keys)] == [0, 1, 2]
    assert [future.result() for future in ndb.delete_multi_async(keys)] == [None] * 3
    assert Item.query().get() is None


def test_nothing_at_all_is_no_error() -> None:
    assert ndb.put_multi([]) == []
    assert ndb.get_multi([]) == []
    assert ndb.delete_multi([]) == []


def test_a_batch_holds_several_kinds_and_parents() -> None:
    class Other(ndb.Model):
        number = ndb.IntegerProperty()

    keys = ndb.put_multi([Item(number=1), Other(number=2), Item(number=3, parent=ndb.Key("Box", 1))])
    assert [entity.number for entity in ndb.get_multi(keys)] == [1, 2, 3]
    assert [key.kind() for key in keys] == ["Item", "Other", "Item"]


def test_more_than_one_call_can_hold_is_put_and_read_in_several() -> None:
    """500 entities a commit and 1,000 keys a lookup: NDB divides what is more."""
    keys = ndb.put_multi([Item(id=number + 1, number=number) for number in range(501)])
    found = ndb.get_multi(keys + [ndb.Key(Item, number) for number in range(1000, 1500)])
    assert [item and item.number for item in found] == [*range(501), *[None] * 500]


def test_what_no_single_answer_can_hold_is_read_in_several() -> None:
    keys = [Item(number=number, content=bytes([number]) * 900_000).put() for number in range(6)]
    assert [item.content[:1] for item in ndb.get_multi(keys)] == [bytes([number]) for number in range(6)]


def test_puts_of_one_batch_are_all_there_or_none_is() -> None:
    too_large = Item(id="b", content=b"x" * 1_100_000)
    with pytest.raises(InvalidArgument):
        ndb.put_multi([Item(id="a"), too_large, Item(id="c")], retries=0)
    assert Item.query().fetch() == []


def test_one_entity_twice_in_a_batch_outside_a_transaction() -> None:
    """NDB sends both in one commit, which the Datastore refuses."""
    with pytest.raises(InvalidArgument):
        ndb.put_multi([Item(id="a", number=1), Item(id="a", number=2)], retries=0)


def test_a_commit_of_more_than_ten_mebibytes_is_refused_whole() -> None:
    """Ours as production does; Google's emulators break off or count four."""
    with pytest.raises(GoogleAPICallError):
        ndb.put_multi([Item(content=b"x" * 900_000) for _ in range(13)], retries=0)
    assert Item.query().get() is None
