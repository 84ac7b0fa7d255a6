# mypy: allow-subclassing-any
"""ndb.Property: the options that every property takes."""

from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud import ndb
from google.cloud.ndb import exceptions

from tests.functional.ndb.stores import empty_is_not_none, found_once

pytestmark = pytest.mark.usefixtures("context")


def shout(prop: Any, value: str) -> str:
    """A validator that changes the value."""
    return value.upper()


def refuse_spaces(prop: Any, value: str) -> None:
    if " " in value:
        raise exceptions.BadValueError(f"{prop._name} must not hold spaces")


class Wine(ndb.Model):
    name = ndb.StringProperty(required=True)
    grapes = ndb.StringProperty(repeated=True)
    country = ndb.StringProperty(default="FR")
    colour = ndb.StringProperty(choices=["red", "white", "rosé"])
    code = ndb.StringProperty(validator=shout)
    slug = ndb.StringProperty(validator=refuse_spaces)
    bottles = ndb.IntegerProperty(indexed=False)
    awards = ndb.StringProperty(repeated=True, write_empty_list=True)
    vintage = ndb.IntegerProperty("v", verbose_name="Year of the harvest")


def test_an_entity_that_lacks_what_is_required_is_not_put() -> None:
    with pytest.raises(exceptions.BadValueError, match="name"):
        Wine().put()
    assert Wine.query().count() == 0


def test_a_repeated_property_keeps_all_its_values_in_order() -> None:
    key = Wine(name="a", grapes=["Syrah", "Grenache", "Syrah"]).put()
    assert key.get().grapes == ["Syrah", "Grenache", "Syrah"]


def test_an_entity_is_found_by_each_value_of_a_repeated_property() -> None:
    key = Wine(name="a", grapes=["Syrah", "Grenache"]).put()
    assert Wine.query(Wine.grapes == "Syrah").get().key == key
    assert Wine.query(Wine.grapes == "Grenache").get().key == key
    assert Wine.query(Wine.grapes == "Syrah", Wine.grapes == "Grenache").get().key == key
    assert Wine.query(Wine.grapes == "Syrah", Wine.grapes == "Merlot").get() is None


@found_once
def test_an_entity_with_several_matching_values_is_found_once() -> None:
    key = Wine(name="a", grapes=["Syrah", "Grenache"]).put()
    assert [wine.key for wine in Wine.query(Wine.grapes > "A")] == [key]


def test_a_repeated_property_starts_empty_and_is_changed_in_place() -> None:
    key = Wine(name="a").put()
    wine = key.get()
    assert wine.grapes == []
    wine.grapes.append("Syrah")
    wine.put()
    assert key.get().grapes == ["Syrah"]


@empty_is_not_none
def test_an_entity_with_an_empty_list_is_in_no_index_of_that_property() -> None:
    Wine(name="a").put()
    Wine(name="b", grapes=["Syrah"]).put()
    assert [wine.name for wine in Wine.query().order(Wine.grapes)] == ["b"]


@empty_is_not_none
def test_an_empty_list_is_not_found_by_none() -> None:
    Wine(name="a").put()
    assert Wine.query(Wine.grapes == None).get() is None  # noqa: E711  NDB overloads ==


def test_an_empty_list_is_written_whether_that_is_asked_for_or_not() -> None:
    key = Wine(name="a").put()

    class Stored(ndb.Expando):
        """Reads what is stored, declares nothing."""

        @classmethod
        def _get_kind(cls) -> str:
            return "Wine"

    stored = key.get()
    assert isinstance(stored, Stored)
    assert (stored.awards, stored.grapes) == ([], [])


def test_a_default_holds_until_a_value_is_set_even_none() -> None:
    assert Wine(name="a").put().get().country == "FR"
    assert Wine(name="a", country=None).put().get().country is None
    assert {wine.country for wine in Wine.query()} == {"FR", None}


def test_only_a_choice_is_accepted() -> None:
    assert Wine(name="a", colour="rosé").put().get().colour == "rosé"
    with pytest.raises(exceptions.BadValueError):
        Wine(name="a", colour="green")


def test_a_validator_may_change_or_refuse_a_value() -> None:
    assert Wine(name="a", code="abc").put().get().code == "ABC"
    with pytest.raises(exceptions.BadValueError, match="spaces"):
        Wine(name="a", slug="a b")


def test_a_filter_s_value_goes_through_the_validator() -> None:
    key = Wine(name="a", code="abc").put()
    assert Wine.query(Wine.code == "abc").get().key == key


def test_what_is_not_indexed_is_kept_but_not_searched() -> None:
    key = Wine(name="a", bottles=6).put()
    assert key.get().bottles == 6
    with pytest.raises(exceptions.BadFilterError):
        Wine.bottles == 6  # noqa: B015  building the filter raises
    assert Wine.query(ndb.FilterNode("bottles", "=", 6)).get() is None
    assert Wine.query().order(Wine.bottles).get() is None


def test_an_entity_without_a_value_is_found_by_none() -> None:
    key = Wine(name="a").put()
    Wine(name="b", vintage=1990).put()
    assert [wine.key for wine in Wine.query(Wine.vintage == None)] == [key]  # noqa: E711


def test_a_property_keeps_its_stored_and_its_verbose_name() -> None:
    key = Wine(name="a", vintage=1990).put()
    assert key.get().vintage == 1990
    assert Wine.query(ndb.FilterNode("v", "=", 1990)).get().key == key
    assert Wine.vintage._verbose_name == "Year of the harvest"


def test_a_deleted_value_is_stored_as_none() -> None:
    key = Wine(name="a", slug="a").put()
    wine = key.get()
    del wine.slug
    wine.put()
    assert key.get().slug is None


def test_a_value_of_the_wrong_type_is_refused_before_it_is_put() -> None:
    with pytest.raises(exceptions.BadValueError):
        Wine(name=5)
    with pytest.raises(exceptions.BadValueError):
        Wine(name="a", grapes="Syrah")


@pytest.mark.parametrize("letter", ["x", "é", "€"])
def test_an_indexed_string_has_at_most_1500_bytes(letter: str) -> None:
    size = len(letter.encode())
    key = Wine(name=letter * (1500 // size)).put()
    assert Wine.query(Wine.name == letter * (1500 // size)).get().key == key
    with pytest.raises(exceptions.BadValueError):
        Wine(name=letter * (1500 // size + 1))


def test_an_indexed_string_of_more_than_1500_bytes_is_refused_by_the_datastore_too() -> None:
    class Wines(ndb.Expando):
        pass

    with pytest.raises(InvalidArgument):
        Wines(name="x" * 1501).put(retries=0)


class Temperature(ndb.FloatProperty):
    """A property class of one's own: degrees Celsius, stored in Kelvin."""

    def _validate(self, value: Any) -> float:
        return float(value)

    def _to_base_type(self, value: float) -> float:
        return value + 273.15

    def _from_base_type(self, value: float) -> float:
        return round(value - 273.15, 6)


class Cellar(ndb.Model):
    degrees = Temperature()
    history = Temperature(repeated=True)


def test_a_property_class_of_one_s_own_converts_what_is_stored_and_searched() -> None:
    key = Cellar(degrees=12, history=[11, 13]).put()
    assert (key.get().degrees, key.get().history) == (12.0, [11.0, 13.0])
    assert Cellar.query(Cellar.degrees < 13, ndb.FilterNode("degrees", ">", 280)).get().key == key
    assert issubclass(Temperature, ndb.Property)


def test_an_entity_larger_than_a_mebibyte_is_refused() -> None:
    class Barrel(ndb.Model):
        content = ndb.BlobProperty()

    assert len(Barrel(content=b"x" * 1_000_000).put().get().content) == 1_000_000
    with pytest.raises(InvalidArgument):
        Barrel(content=b"x" * 1_100_000).put(retries=0)
