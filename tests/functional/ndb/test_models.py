# mypy: allow-subclassing-any
"""ndb.Model: declaring, writing and reading entities, and the hooks around it."""

import pickle
from typing import Any, ClassVar

import pytest
from google.cloud import ndb
from google.cloud.ndb import exceptions

from tests.functional.ndb.stores import allocation_lasts

pytestmark = pytest.mark.usefixtures("context")


class Book(ndb.Model):
    title = ndb.StringProperty()
    pages = ndb.IntegerProperty(default=1)
    author_name = ndb.StringProperty(name="author")


def test_an_entity_is_read_as_it_was_written() -> None:
    key = Book(title="Emma", pages=474, author_name="Austen").put()
    read = key.get()
    assert isinstance(read, Book)
    assert (read.title, read.pages, read.author_name) == ("Emma", 474, "Austen")
    assert read == Book(key=key, title="Emma", pages=474, author_name="Austen")
    assert read != Book(key=key, title="Persuasion", pages=474, author_name="Austen")


def test_put_gives_a_new_entity_its_key() -> None:
    book = Book(title="Emma")
    assert not book.has_complete_key()
    key = book.put()
    assert book.has_complete_key()
    assert book.key == key


def test_putting_again_overwrites_the_whole_entity() -> None:
    key = Book(id="emma", title="Emma", author_name="Austen").put()
    Book(id="emma", title="Emma").put()
    assert key.get().author_name is None


def test_an_entity_that_was_read_may_be_changed_and_put_again() -> None:
    key = Book(title="Ema").put()
    book = key.get()
    book.title = "Emma"
    assert book.put() == key
    assert key.get().title == "Emma"
    assert Book.query().count() == 1


def test_put_async_gives_the_key() -> None:
    future = Book(title="Emma").put_async()
    assert future.result().get().title == "Emma"


def test_populate_sets_several_properties_at_once() -> None:
    book = Book(title="Emma")
    book.populate(pages=474, author_name="Austen")
    assert book.put().get().to_dict() == {"title": "Emma", "pages": 474, "author_name": "Austen"}
    with pytest.raises(AttributeError):
        book.populate(price=1)


def test_to_dict_includes_and_excludes_by_name() -> None:
    book = Book(title="Emma", pages=474).put().get()
    assert book.to_dict(include=["title"]) == {"title": "Emma"}
    assert book.to_dict(exclude=["title"]) == {"pages": 474, "author_name": None}


def test_a_default_is_stored_with_the_entity() -> None:
    Book(title="Emma").put()
    assert Book.query(Book.pages == 1).get().title == "Emma"


def test_a_property_may_be_stored_under_another_name() -> None:
    key = Book(author_name="Austen").put()
    assert key.get().author_name == "Austen"
    assert Book.query(ndb.FilterNode("author", "=", "Austen")).get().key == key


def test_a_property_that_is_no_longer_declared_is_dropped_by_the_next_put() -> None:
    class Pamphlet(ndb.Model):
        title = ndb.StringProperty()
        price = ndb.IntegerProperty()

    key = Pamphlet(title="Common Sense", price=2).put()

    class Pamphlet(ndb.Model):  # type: ignore[no-redef]  # the next version of the code
        title = ndb.StringProperty()

    costs_two = Pamphlet.query(ndb.FilterNode("price", "=", 2))
    assert costs_two.get().title == "Common Sense"
    key.get().put()
    assert costs_two.get() is None


def test_an_entity_of_a_kind_without_a_class_cannot_be_read() -> None:
    key = ndb.Model(key=ndb.Key("NobodysKind", 1)).put()
    with pytest.raises(ndb.KindError):
        key.get()


def test_a_kind_may_have_another_name_than_its_class() -> None:
    class Periodical(ndb.Model):
        title = ndb.StringProperty()

        @classmethod
        def _get_kind(cls) -> str:
            return "Magazine"

    key = Periodical(title="Punch").put()
    assert key.kind() == "Magazine"
    assert isinstance(key.get(), Periodical)
    assert Periodical.query().get().title == "Punch"


def test_a_subclass_of_a_model_is_a_kind_of_its_own_with_the_properties_of_both() -> None:
    class Atlas(Book):
        maps = ndb.IntegerProperty()

    Atlas(title="World", maps=80).put()
    assert Book.query().count() == 0
    read = Atlas.query().get()
    assert (read.title, read.maps) == ("World", 80)


def test_a_model_and_its_properties_are_shown_as_they_are_declared() -> None:
    assert isinstance(Book, ndb.MetaModel)
    assert isinstance(Book.title, ndb.ModelAttribute)
    assert repr(Book.query().filter(Book.title == "Emma").get()) == "None"
    assert "title=StringProperty('title')" in repr(Book)


def test_the_key_is_a_property_of_the_model() -> None:
    assert isinstance(Book.key, ndb.ModelKey)
    key = Book(id="emma").put()
    assert Book.query(Book.key == key).get().key == key


def test_an_id_a_parent_or_a_key_names_the_entity() -> None:
    shelf = ndb.Key("Shelf", 1)
    assert Book(id="emma", parent=shelf).put() == ndb.Key("Shelf", 1, "Book", "emma")
    assert Book(key=ndb.Key("Book", "emma")).put() == ndb.Key("Book", "emma")
    with pytest.raises(exceptions.BadArgumentError):
        Book(key=ndb.Key("Book", "emma"), id="emma")
    with pytest.raises(ndb.KindError):
        Book(key=ndb.Key("Shelf", 1))


def test_a_model_may_have_properties_called_id_and_parent() -> None:
    class Node(ndb.Model):
        id = ndb.StringProperty()
        parent = ndb.StringProperty()

    key = Node(_id=5, id="inner", parent="outer").put()
    read = ndb.Key(Node, 5).get()
    assert key == read.key
    assert (read.id, read.parent) == ("inner", "outer")


def test_an_entity_survives_a_pickle() -> None:
    book = Book(title="Emma").put().get()
    assert pickle.loads(pickle.dumps(book)) == book


def test_get_by_id_finds_names_numbers_and_children() -> None:
    shelf = ndb.Key("Shelf", 1)
    Book(id="emma", title="by name").put()
    Book(id=7, title="by number").put()
    Book(id="emma", parent=shelf, title="on a shelf").put()
    assert Book.get_by_id("emma").title == "by name"
    assert Book.get_by_id(7).title == "by number"
    assert Book.get_by_id("emma", parent=shelf).title == "on a shelf"
    assert Book.get_by_id_async("emma").result().title == "by name"
    assert Book.get_by_id("persuasion") is None


def test_get_or_insert_inserts_once_and_then_gets() -> None:
    assert Book.get_or_insert("emma", title="Emma").title == "Emma"
    assert Book.get_or_insert("emma", title="Another").title == "Emma"
    assert Book.get_or_insert_async("emma", title="Another").result().title == "Emma"
    assert Book.query().count() == 1


def test_get_or_insert_below_a_parent() -> None:
    shelf = ndb.Key("Shelf", 1)
    Book.get_or_insert("emma", parent=shelf, title="Emma")
    assert Book.get_by_id("emma") is None
    assert Book.get_by_id("emma", parent=shelf).title == "Emma"


def test_get_or_insert_takes_part_in_an_open_transaction() -> None:
    def insert_and_fail() -> None:
        Book.get_or_insert("emma", title="Emma")
        raise ndb.Rollback

    with pytest.raises(ndb.Rollback):
        ndb.transaction(insert_and_fail)
    assert Book.get_by_id("emma") is None


@allocation_lasts
def test_allocated_ids_are_distinct_and_are_given_to_nobody_else() -> None:
    keys = Book.allocate_ids(size=10) + Book.allocate_ids_async(size=10).result()
    assert len({key.id() for key in keys}) == 20
    assert {key.kind() for key in keys} == {"Book"}
    new = {Book().put() for _ in range(10)}
    assert not new & set(keys)


def test_an_allocated_id_may_be_put() -> None:
    (key,) = Book.allocate_ids(1)
    assert key.get() is None
    Book(key=key, title="Emma").put()
    assert key.get().title == "Emma"


def test_allocated_ids_keep_the_parent() -> None:
    shelf = ndb.Key("Shelf", 1)
    assert {key.parent() for key in Book.allocate_ids(3, parent=shelf)} == {shelf}


def test_allocate_ids_needs_a_size() -> None:
    with pytest.raises(TypeError):
        Book.allocate_ids()
    with pytest.raises(NotImplementedError):
        Book.allocate_ids(max=100)


def test_put_takes_a_time_limit_and_a_number_of_retries() -> None:
    assert Book(title="Emma").put(timeout=20, retries=0).get().title == "Emma"


def test_use_cache_false_reads_what_another_wrote() -> None:
    book = Book(title="Emma")
    key = book.put(use_cache=True)
    assert key.get(use_cache=True) is book
    assert key.get(use_cache=False) is not book
    assert key.get(use_cache=False) == book


class Watched(ndb.Model):
    """Writes down what its hooks were told."""

    told: ClassVar[list[Any]] = []
    text = ndb.StringProperty()

    def _pre_put_hook(self) -> None:
        self.text = (self.text or "") + "!"
        self.told.append(("pre put", self.key))

    def _post_put_hook(self, future: Any) -> None:
        self.told.append(("post put", future.result()))

    @classmethod
    def _pre_get_hook(cls, key: Any) -> None:
        cls.told.append(("pre get", key))

    @classmethod
    def _post_get_hook(cls, _: Any, future: Any) -> None:
        cls.told.append(("post get", future.result().text))

    @classmethod
    def _pre_delete_hook(cls, key: Any) -> None:
        cls.told.append(("pre delete", key))

    @classmethod
    def _post_delete_hook(cls, _: Any, future: Any) -> None:
        cls.told.append(("post delete", future.result()))

    @classmethod
    def _pre_allocate_ids_hook(cls, size: int, *_: object) -> None:
        cls.told.append(("pre allocate", size))

    @classmethod
    def _post_allocate_ids_hook(cls, *arguments: Any) -> None:
        cls.told.append(("post allocate", len(arguments[-1].result())))


def test_hooks_are_called_before_and_after_put_get_delete_and_allocate_ids() -> None:
    Watched.told.clear()
    key = Watched(id=1, text="hello").put()
    assert key.get().text == "hello!"
    key.delete()
    Watched.allocate_ids(2)
    assert Watched.told == [
        ("pre put", key),
        ("post put", key),
        ("pre get", key),
        ("post get", "hello!"),
        ("pre delete", key),
        ("post delete", None),
        ("pre allocate", 2),
        ("post allocate", 2),
    ]


def test_hooks_are_called_for_each_entity_of_a_batch() -> None:
    Watched.told.clear()
    keys = ndb.put_multi([Watched(text="a"), Watched(text="b")])
    assert [name for name, _ in Watched.told] == ["pre put", "pre put", "post put", "post put"]
    assert {entity.text for entity in ndb.get_multi(keys)} == {"a!", "b!"}


class Person(ndb.Expando):
    name = ndb.StringProperty()


def test_an_expando_keeps_what_nobody_declared() -> None:
    key = Person(name="Ada", born=1815, tags=["poet's daughter", "analyst"], rate=1.5).put()
    read = key.get()
    assert (read.name, read.born, read.rate) == ("Ada", 1815, 1.5)
    assert read.tags == ["poet's daughter", "analyst"]
    assert read.to_dict() == {"name": "Ada", "born": 1815, "tags": read.tags, "rate": 1.5}


def test_an_expando_is_found_by_what_nobody_declared() -> None:
    Person(name="Ada", born=1815).put()
    Person(name="Alan", born=1912).put()
    assert Person.query(ndb.GenericProperty("born") > 1900).get().name == "Alan"


def test_a_deleted_attribute_of_an_expando_is_gone_from_the_datastore() -> None:
    key = Person(name="Ada", born=1815).put()
    ada = key.get()
    del ada.born
    ada.put()
    assert not hasattr(key.get(), "born")
    assert Person.query(ndb.GenericProperty("born") == 1815).get() is None


def test_an_expando_keeps_entities_and_dictionaries_within() -> None:
    key = Person(name="Ada", address={"city": "London", "zip": 1}).put()
    assert key.get().address.city == "London"
    assert Person.query(ndb.FilterNode("address.city", "=", "London")).get().name == "Ada"


def test_an_expando_may_leave_what_nobody_declared_out_of_every_index() -> None:
    class Note(ndb.Expando):
        _default_indexed = False

    key = Note(text="x" * 2000).put()
    assert key.get().text == "x" * 2000
    assert Note.query(ndb.GenericProperty("text") > "").get() is None


class Animal(ndb.PolyModel):
    name = ndb.StringProperty()


class Feline(Animal):
    lives = ndb.IntegerProperty(default=9)


class Cat(Feline):
    indoor = ndb.BooleanProperty(default=True)


class Dog(Animal):
    pass


def test_a_query_of_a_polymodel_finds_its_subclasses_as_themselves() -> None:
    ndb.put_multi([Cat(id=1, name="Tom"), Feline(id=2, name="Leo"), Dog(id=3, name="Rex"), Animal(id=4)])
    assert [type(found) for found in Animal.query()] == [Cat, Feline, Dog, Animal]
    assert [found.name for found in Feline.query()] == ["Tom", "Leo"]
    assert [found.name for found in Cat.query()] == ["Tom"]
    assert Feline.query(Feline.name == "Rex").get() is None


def test_a_polymodel_s_entities_share_one_kind_and_are_read_as_their_class() -> None:
    key = Cat(name="Tom", indoor=False).put()
    assert key.kind() == "Animal"
    read = key.get()
    assert type(read) is Cat
    assert (read.name, read.lives, read.indoor) == ("Tom", 9, False)
    assert read.class_ == ["Animal", "Feline", "Cat"]


def test_the_class_of_a_polymodel_entity_cannot_be_set() -> None:
    with pytest.raises(TypeError):
        Cat().class_ = ["Dog"]
