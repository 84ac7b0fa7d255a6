# mypy: allow-subclassing-any, allow-untyped-decorators, allow-untyped-calls
"""Each of NDB's property classes: what it keeps, how it is searched, in which order."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.cloud import ndb
from google.cloud.ndb import exceptions
from google.cloud.ndb.model import CompressedTextProperty

from tests.functional.ndb.stores import PROJECT

pytestmark = pytest.mark.usefixtures("context")

NOW = datetime(2024, 2, 29, 23, 59, 59, 123456)  # noqa: DTZ001  NDB's own: UTC without a time zone


def path(*flat: str | int) -> ndb.Key:
    """A key that needs no context to be made."""
    return ndb.Key(*flat, project=PROJECT, namespace=None, database=None)


utc_now_is_deprecated = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


class Scalars(ndb.Model):
    integer = ndb.IntegerProperty()
    float = ndb.FloatProperty()
    boolean = ndb.BooleanProperty()
    string = ndb.StringProperty()
    blob = ndb.BlobProperty(indexed=True)
    moment = ndb.DateTimeProperty()
    day = ndb.DateProperty()
    hour = ndb.TimeProperty()
    point = ndb.GeoPtProperty()
    link = ndb.KeyProperty()


VALUES: list[tuple[str, Any]] = [
    ("integer", 0),
    ("integer", -(2**63)),
    ("integer", 2**63 - 1),
    ("float", 0.0),
    ("float", -1.5),
    ("float", 5e-324),
    ("float", 1.7976931348623157e308),
    ("float", float("inf")),
    ("boolean", True),
    ("boolean", False),
    ("string", ""),
    ("string", "naïve \U0001f40d \x00 line\nend"),
    ("blob", b""),
    ("blob", bytes(range(256))),
    ("moment", NOW),
    ("moment", datetime(1, 1, 1)),  # noqa: DTZ001
    ("moment", datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
    ("day", date(2024, 2, 29)),
    ("hour", time(23, 59, 59, 999999)),
    ("point", ndb.GeoPt(52.37, 4.88)),
    ("point", ndb.GeoPt(-90, 180)),
    ("link", path("Parent", 1, "Child", "a")),
]


def named(value: object) -> str:
    """What tells test cases apart."""
    if isinstance(value, list | ndb.Key | bytes):
        return type(value).__name__
    return repr(value)[:25]


@pytest.mark.parametrize(("name", "value"), VALUES, ids=named)
def test_a_value_is_read_as_it_was_written(name: str, value: object) -> None:
    key = Scalars(**{name: value}).put()
    read = getattr(key.get(), name)
    assert read == value
    assert isinstance(read, type(value))


@pytest.mark.parametrize(("name", "value"), VALUES, ids=named)
def test_an_entity_is_found_by_its_value_and_nothing_else(name: str, value: object) -> None:
    key = Scalars(**{name: value}).put()
    Scalars().put()
    assert [found.key for found in Scalars.query(getattr(Scalars, name) == value)] == [key]


ORDERED: list[tuple[str, list[Any]]] = [
    ("integer", [-(2**63), -1, 0, 1, 256, 2**63 - 1]),
    ("float", [float("-inf"), -1e300, -1.5, -1e-300, 0.0, 1e-300, 1.5, 1e300, float("inf")]),
    ("boolean", [False, True]),
    ("string", ["", "\x00", "A", "B", "a", "aa", "b", "é", "\uffff", "\U0001f40d"]),
    ("blob", [b"", b"\x00", b"\x00\x00", b"\x00\x01", b"\x01", b"a", b"\xff", b"\xff\xff"]),
    ("moment", [datetime(1, 1, 1), datetime(1969, 12, 31), NOW, datetime(9999, 1, 1)]),  # noqa: DTZ001
    ("day", [date(1, 1, 1), date(1969, 12, 31), date(2024, 2, 29)]),
    ("hour", [time(0), time(0, 0, 0, 1), time(23, 59)]),
    ("point", [ndb.GeoPt(-90, 0), ndb.GeoPt(0, -180), ndb.GeoPt(0, 180), ndb.GeoPt(1, -180)]),
    ("link", [path("A", 1), path("A", 1, "A", 1), path("A", 2), path("A", "1"), path("B", 1)]),
]


@pytest.mark.parametrize(("name", "values"), ORDERED, ids=named)
def test_values_sort_as_documented_up_and_down(name: str, values: list[Any]) -> None:
    prop = getattr(Scalars, name)
    ndb.put_multi([Scalars(**{name: value}) for value in reversed(values)])
    assert [getattr(found, name) for found in Scalars.query().order(prop)] == values
    assert [getattr(found, name) for found in Scalars.query().order(-prop)] == values[::-1]


@pytest.mark.parametrize(("name", "values"), ORDERED, ids=named)
def test_inequalities_divide_values_where_they_sort(name: str, values: list[Any]) -> None:
    prop = getattr(Scalars, name)
    ndb.put_multi([Scalars(**{name: value}) for value in values])

    def found(node: Any) -> list[Any]:
        return [getattr(entity, name) for entity in Scalars.query(node).order(prop)]

    for place, value in enumerate(values):
        assert found(prop < value) == values[:place]
        assert found(prop <= value) == values[: place + 1]
        assert found(prop > value) == values[place + 1 :]
        assert found(prop >= value) == values[place:]


def test_none_sorts_before_every_value() -> None:
    ndb.put_multi([Scalars(integer=-5), Scalars(integer=None), Scalars(integer=5)])
    assert [found.integer for found in Scalars.query().order(Scalars.integer)] == [None, -5, 5]
    assert [found.integer for found in Scalars.query(Scalars.integer < 5)] == [None, -5]


class Anything(ndb.Model):
    value = ndb.GenericProperty()


def test_values_of_different_types_sort_by_type_first() -> None:
    ordered = [None, 1, NOW, False, True, b"bytes", "text", 2.5, ndb.GeoPt(1, 1), path("A", 1)]
    ndb.put_multi([Anything(value=value) for value in reversed(ordered)])
    read = [found.value for found in Anything.query().order(Anything.value)]
    assert [type(value).__name__ for value in read] == [
        "NoneType",
        "int",
        "DatetimeWithNanoseconds",
        "bool",
        "bool",
        "bytes",
        "str",
        "float",
        "GeoPoint",
        "Key",
    ]
    assert read[3:5] == [False, True]


@pytest.mark.parametrize("value", [None, 5, 1.5, True, "text", b"bytes", ndb.GeoPt(1, 2), ["a", 1]])
def test_a_generic_property_keeps_any_type(value: Any) -> None:
    class Generic(ndb.Model):
        content = ndb.GenericProperty(repeated=isinstance(value, list))

    assert Generic(content=value).put().get().content == value


def test_not_a_number_is_kept() -> None:
    read = Scalars(float=float("nan")).put().get().float
    assert read != read  # noqa: PLR0124  what tells NaN from all else


def test_text_is_long_and_never_indexed() -> None:
    class Essay(ndb.Model):
        text = ndb.TextProperty()
        packed = ndb.TextProperty(compressed=True)
        tighter = CompressedTextProperty()
        parts = ndb.TextProperty(repeated=True)

    long = "naïve " * 5000
    read = Essay(text=long, packed=long, tighter=long, parts=[long, ""]).put().get()
    assert (read.text, read.packed, read.tighter, read.parts) == (long, long, long, [long, ""])
    with pytest.raises(exceptions.BadFilterError):
        Essay.text == long  # noqa: B015  building the filter raises
    with pytest.raises(NotImplementedError):
        ndb.TextProperty(indexed=True)


def test_a_blob_is_kept_compressed_or_not_once_or_repeated() -> None:
    class Attachment(ndb.Model):
        plain = ndb.BlobProperty()
        packed = ndb.BlobProperty(compressed=True)
        parts = ndb.BlobProperty(repeated=True)
        packed_parts = ndb.BlobProperty(repeated=True, compressed=True)

    long = bytes(range(256)) * 40
    read = Attachment(plain=long, packed=long, parts=[long, b""], packed_parts=[long, b"z"]).put().get()
    assert (read.plain, read.packed) == (long, long)
    assert (read.parts, read.packed_parts) == ([long, b""], [long, b"z"])


def test_a_compressed_blob_saves_room() -> None:
    class Compressible(ndb.Model):
        content = ndb.BlobProperty(compressed=True)

    assert len(Compressible(content=b"x" * 3_000_000).put().get().content) == 3_000_000


def test_json_is_kept_as_what_it_says() -> None:
    class Document(ndb.Model):
        body = ndb.JsonProperty()
        packed = ndb.JsonProperty(compressed=True)
        lists = ndb.JsonProperty(json_type=list)

    body = {"a": [1, 2.5, None, True, "ü"], "b": {"c": {}}}
    read = Document(body=body, packed=body, lists=[1, [2]]).put().get()
    assert (read.body, read.packed, read.lists) == (body, body, [1, [2]])
    with pytest.raises(TypeError):
        Document(lists={"not": "a list"})


def test_an_indexed_json_property_is_found_by_its_bytes() -> None:
    class Tagged(ndb.Model):
        body = ndb.JsonProperty(indexed=True)

    key = Tagged(body={"a": 1}).put()
    assert Tagged.query(Tagged.body == {"a": 1}).get().key == key


def test_a_pickle_is_kept_as_the_object_that_it_was() -> None:
    class Jar(ndb.Model):
        content = ndb.PickleProperty()
        packed = ndb.PickleProperty(compressed=True)

    content = {("a", 1): {1, 2}, "when": NOW, "huge": 2**100}
    read = Jar(content=content, packed=content).put().get()
    assert (read.content, read.packed) == (content, content)


def test_a_user_is_kept_with_address_domain_and_id() -> None:
    class Account(ndb.Model):
        owner = ndb.UserProperty()

    owner = ndb.User("ada@example.com", _auth_domain="example.com", _user_id="815")
    read = Account(owner=owner).put().get().owner
    assert (read.email(), read.auth_domain(), read.user_id()) == ("ada@example.com", "example.com", "815")
    assert (read, read.nickname()) == (owner, "ada")
    with pytest.raises(ndb.UserNotFoundError):
        ndb.User("", _auth_domain="example.com")


def test_a_blob_key_of_the_first_runtime_is_no_longer_put() -> None:
    class Upload(ndb.Model):
        content = ndb.BlobKeyProperty()

    with pytest.raises(ValueError, match="Unknown protobuf attr type"):
        Upload(content=ndb.BlobKey(b"encoded")).put()


def test_a_key_property_may_demand_a_kind() -> None:
    class Child(ndb.Model):
        parent_by_name = ndb.KeyProperty(kind="Scalars")
        parent_by_class = ndb.KeyProperty(Scalars)

    parent = Scalars(integer=5).put()
    child = Child(parent_by_name=parent, parent_by_class=parent).put().get()
    assert child.parent_by_name.get().integer == child.parent_by_class.get().integer == 5
    assert Child.query(Child.parent_by_class == parent).count() == 1
    with pytest.raises(exceptions.BadValueError):
        Child(parent_by_class=ndb.Key("Another", 1))


def test_a_repeated_key_property_keeps_keys_in_order() -> None:
    class Playlist(ndb.Model):
        songs = ndb.KeyProperty(kind="Song", repeated=True)

    songs = [ndb.Key("Song", name) for name in "cab"]
    key = Playlist(songs=songs).put()
    assert key.get().songs == songs
    assert Playlist.query(Playlist.songs == ndb.Key("Song", "a")).get().key == key


class Stamped(ndb.Model):
    text = ndb.StringProperty()
    created = ndb.DateTimeProperty(auto_now_add=True)
    changed = ndb.DateTimeProperty(auto_now=True)
    day = ndb.DateProperty(auto_now_add=True)
    hour = ndb.TimeProperty(auto_now=True)


@utc_now_is_deprecated
def test_auto_now_add_holds_the_first_put_and_auto_now_the_last() -> None:
    key = Stamped().put()
    first = key.get()
    assert abs(datetime.now(UTC).replace(tzinfo=None) - first.created) < timedelta(seconds=30)
    first.text = "changed"
    first.put()
    second = key.get()
    assert second.created == first.created <= second.changed
    assert second.day == second.created.date()
    assert isinstance(second.hour, time)


@utc_now_is_deprecated
def test_auto_now_add_yields_to_a_value_that_was_set() -> None:
    key = Stamped(created=NOW).put()
    assert key.get().created == NOW


class Meeting(ndb.Model):
    starts = ndb.DateTimeProperty(tzinfo=ZoneInfo("Europe/Amsterdam"))


def test_a_datetime_with_a_time_zone_is_the_same_moment_in_that_zone() -> None:
    starts = datetime(2024, 7, 1, 12, tzinfo=UTC)
    key = Meeting(starts=starts).put()
    read = key.get().starts
    assert read == starts
    assert read.hour == 14
    assert Meeting.query(Meeting.starts == starts).get().key == key
    assert Meeting.query(Meeting.starts > starts).get() is None


def test_a_datetime_without_a_time_zone_refuses_one() -> None:
    with pytest.raises(exceptions.BadValueError):
        Scalars(moment=datetime.now(UTC))


class File(ndb.Model):
    name = ndb.StringProperty()
    data = ndb.BlobProperty()
    name_lower = ndb.ComputedProperty(lambda self: self.name.lower())
    words = ndb.ComputedProperty(lambda self: self.name.split(), repeated=True)

    @ndb.ComputedProperty
    def size(self) -> int:
        return len(self.data or b"")


def test_a_computed_property_is_stored_and_searched() -> None:
    key = File(name="READ Me", data=b"123").put()
    File(name="other").put()
    assert (key.get().name_lower, key.get().size, key.get().words) == ("read me", 3, ["READ", "Me"])
    assert File.query(File.name_lower == "read me").get().key == key
    assert File.query(File.words == "Me").get().key == key
    assert [file.size for file in File.query().order(-File.size)] == [3, 0]


def test_a_computed_property_follows_what_it_is_computed_from() -> None:
    file = File(name="A").put().get()
    file.name = "B"
    file.put()
    assert File.query(File.name_lower == "a").get() is None
    assert File.query(File.name_lower == "b").get().key == file.key


def test_a_computed_property_cannot_be_set() -> None:
    file = File(name="A")
    with pytest.raises(ndb.ComputedPropertyError):
        file.size = 5
    with pytest.raises(ndb.ReadonlyPropertyError):
        del file.size
