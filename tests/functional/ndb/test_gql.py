# mypy: allow-subclassing-any
"""GQL: queries written as text, with values bound to them."""

from datetime import date, datetime, time

import pytest
from google.cloud import ndb
from google.cloud.ndb import exceptions

from tests.functional.ndb.cities import City, names, put_cities
from tests.functional.ndb.stores import todays_queries

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture(autouse=True)
def _cities(context: ndb.Context) -> None:
    put_cities()


QUERIES: list[tuple[str, list[str]]] = [
    ("SELECT * FROM City WHERE name = 'Bern'", ["Bern"]),
    ("SELECT * FROM City WHERE population > 430 ORDER BY population", ["Rotterdam", "Oslo", "Amsterdam"]),
    ("SELECT * FROM City WHERE population >= 200 AND population < 650", ["Geneva", "Zurich"]),
    ("SELECT * FROM City WHERE country = 'CH' AND tags = 'lake'", ["Geneva", "Zurich"]),
    ("SELECT * FROM City WHERE country = 'NL' ORDER BY population DESC", ["Amsterdam", "Rotterdam", "Delft"]),
    ("SELECT * FROM City ORDER BY name DESC LIMIT 2", ["Zurich", "Rotterdam"]),
    ("SELECT * FROM City ORDER BY name LIMIT 2 OFFSET 2", ["Delft", "Geneva"]),
    ("SELECT * FROM City WHERE name IN ('Bern', 'Oslo') ORDER BY name", ["Bern", "Oslo"]),
    ("SELECT * FROM City WHERE population = 5", []),
]


@pytest.mark.parametrize(("text", "expected"), QUERIES, ids=[text[19:] for text, _ in QUERIES])
def test_a_text_finds_what_it_says(text: str, expected: list[str]) -> None:
    assert names(ndb.gql(text).fetch()) == expected


@todays_queries
@pytest.mark.parametrize("condition", ["country != 'NL'", "country NOT IN ('NL', 'XX')"])
def test_a_text_excludes(condition: str) -> None:
    found = ndb.gql(f"SELECT * FROM City WHERE {condition}").fetch()
    assert set(names(found)) == {"Bern", "Geneva", "Zurich", "Oslo"}


def test_a_text_selects_keys() -> None:
    (key,) = ndb.gql("SELECT __key__ FROM City WHERE name = 'Oslo'").fetch(keys_only=True)
    assert key.id() == "Oslo"


def test_a_text_selects_properties_and_distinct_ones() -> None:
    found = ndb.gql("SELECT country, population FROM City ORDER BY country, population").fetch(2)
    assert [(city.country, city.population) for city in found] == [("CH", 130), ("CH", 200)]
    found = ndb.gql("SELECT DISTINCT country FROM City").fetch()
    assert [city.country for city in found] == ["CH", "NL", "NO"]


def test_values_are_bound_by_number_and_by_name() -> None:
    by_number = ndb.gql("SELECT * FROM City WHERE country = :1 AND tags = :2")
    assert names(by_number.bind("CH", "capital").fetch()) == ["Bern"]
    assert names(by_number.bind("NL", "capital").fetch()) == ["Amsterdam"]
    by_name = ndb.gql("SELECT * FROM City WHERE population > :least ORDER BY population", least=500)
    assert names(by_name.fetch()) == ["Rotterdam", "Oslo", "Amsterdam"]


def test_a_list_is_bound_to_in() -> None:
    query = ndb.gql("SELECT * FROM City WHERE name IN :1", ["Bern", "Oslo"])
    assert sorted(names(query.fetch())) == ["Bern", "Oslo"]


def test_a_query_names_the_values_that_it_needs() -> None:
    query = ndb.gql("SELECT * FROM City WHERE country = :code AND population > :least")
    assert query.analyze() == ["code", "least"]
    with pytest.raises(exceptions.BadArgumentError):
        query.fetch()
    with pytest.raises(exceptions.BadArgumentError):
        ndb.gql("SELECT * FROM City WHERE name = :1").bind("Bern", "unused")


def test_a_model_completes_a_text_about_itself() -> None:
    assert names(City.gql("WHERE name = :1", "Bern").fetch()) == ["Bern"]
    assert names(City.gql("WHERE population < :most ORDER BY population", most=150).fetch()) == [
        "Delft",
        "Bern",
    ]


def test_a_parameter_may_stand_in_a_filter_built_by_hand() -> None:
    node = ndb.ParameterNode(City.name, "=", ndb.Parameter(1))
    query = City.query(node).bind("Bern")
    assert names(query.fetch()) == ["Bern"]
    assert isinstance(ndb.Parameter("x"), ndb.ParameterizedThing)


def test_an_ancestor_may_be_bound_as_a_key_of_parameters() -> None:
    ancestor = ndb.ParameterizedFunction("key", [ndb.Parameter("kind"), ndb.Parameter("code")])
    query = ndb.Query(kind="City", ancestor=ancestor)
    assert ancestor.is_parameterized()
    assert names(query.bind(kind="Country", code="CH").fetch()) == ["Bern", "Geneva", "Zurich"]
    assert names(query.bind(kind="Country", code="NO").fetch()) == ["Oslo"]


class Event(ndb.Model):
    moment = ndb.DateTimeProperty()
    day = ndb.DateProperty()
    hour = ndb.TimeProperty()
    place = ndb.GeoPtProperty()
    open = ndb.BooleanProperty()
    price = ndb.FloatProperty()
    city = ndb.KeyProperty()


@pytest.mark.parametrize(
    "condition",
    [
        "moment = DATETIME('2024-02-29 12:30:00')",
        "moment > DATETIME(2024, 2, 28, 0, 0, 0)",
        "day = DATE('2024-02-29')",
        "hour = TIME('12:30:00')",
        "place = GEOPT(52.5, 4.5)",
        "open = TRUE",
        "price = 1.5",
        "price > 0.5",
        "city = KEY('Country', 'CH', 'City', 'Bern')",
    ],
)
def test_a_text_holds_dates_places_numbers_and_keys(condition: str) -> None:
    key = Event(
        moment=datetime(2024, 2, 29, 12, 30),  # noqa: DTZ001  NDB's own: UTC without a time zone
        day=date(2024, 2, 29),
        hour=time(12, 30),
        place=ndb.GeoPt(52.5, 4.5),
        open=True,
        price=1.5,
        city=ndb.Key("Country", "CH", "City", "Bern"),
    ).put()
    assert [event.key for event in ndb.gql(f"SELECT * FROM Event WHERE {condition}").fetch()] == [key]
    assert ndb.gql(f"SELECT * FROM Event WHERE {condition}").count() == 1


def test_none_is_searched_for_by_name() -> None:
    key = Event(open=None).put()
    assert ndb.gql("SELECT * FROM Event WHERE open = NULL").get().key == key


@pytest.mark.parametrize(
    "text", ["SELECT", "SELECT * FROM City WHERE", "FROM City", "SELECT * FROM City LIMIT x"]
)
def test_a_text_that_cannot_be_parsed_is_refused(text: str) -> None:
    with pytest.raises(exceptions.BadQueryError):
        ndb.gql(text)
