# mypy: allow-subclassing-any
"""ndb.Query: which entities it finds, in which order, and what of them it answers with."""

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import FailedPrecondition, InvalidArgument
from google.cloud import ndb
from google.cloud.ndb import exceptions

from tests.functional.ndb.cities import CITIES, City, country, names, put_cities
from tests.functional.ndb.stores import found_once, indexes_enforced, todays_queries

pytestmark = pytest.mark.usefixtures("context")


@pytest.fixture(autouse=True)
def _cities(context: ndb.Context) -> None:
    put_cities()


def test_a_query_without_a_filter_finds_the_whole_kind_by_key() -> None:
    keys = City.query().fetch(keys_only=True)
    assert len(keys) == len(CITIES)
    assert keys == sorted(keys)


def test_a_query_finds_nothing_of_a_kind_that_has_nothing() -> None:
    class Desert(ndb.Model):
        name = ndb.StringProperty()

    assert Desert.query().fetch() == []
    assert Desert.query().get() is None
    assert Desert.query(Desert.name == "Gobi").count() == 0


def test_a_query_without_a_kind_finds_every_entity() -> None:
    ndb.Model(key=ndb.Key("Desert", "Gobi")).put()
    assert {key.kind() for key in ndb.Query().fetch(keys_only=True)} == {"City", "Desert"}


COMPARISONS: list[tuple[str, Callable[[Any], Any], set[str]]] = [
    ("==", lambda population: population == 200, {"Geneva"}),
    ("<", lambda population: population < 200, {"Bern", "Delft"}),
    ("<=", lambda population: population <= 200, {"Bern", "Delft", "Geneva"}),
    (">", lambda population: population > 650, {"Amsterdam", "Oslo"}),
    (">=", lambda population: population >= 650, {"Amsterdam", "Oslo", "Rotterdam"}),
    ("IN", lambda population: population.IN([100, 900, 5]), {"Amsterdam", "Delft"}),
    ("IN one", lambda population: population.IN([100]), {"Delft"}),
]


@pytest.mark.parametrize(
    ("compare", "expected"), [case[1:] for case in COMPARISONS], ids=[case[0] for case in COMPARISONS]
)
def test_a_comparison_finds_what_it_says(compare: Callable[[Any], Any], expected: set[str]) -> None:
    assert set(names(City.query(compare(City.population)).fetch())) == expected


@todays_queries
def test_not_equal_finds_all_other_values() -> None:
    assert names(City.query(City.country != "NL").order(City.country).fetch()) == [
        "Bern",
        "Geneva",
        "Zurich",
        "Oslo",
    ]


@todays_queries
def test_not_equal_finds_no_entity_without_the_property() -> None:
    ndb.Model(key=ndb.Key("City", "Atlantis")).put()
    assert "Atlantis" not in {key.id() for key in City.query(City.country != "NL").fetch(keys_only=True)}


@todays_queries
def test_not_in_finds_all_but_the_values_listed() -> None:
    query = City.query(City.country.NOT_IN(["NL", "NO", "XX"]))
    assert set(names(query.fetch())) == {"Bern", "Geneva", "Zurich"}


@todays_queries
def test_in_may_be_left_to_the_server() -> None:
    query = City.query(City.country.IN(["CH", "NO"], server_op=True))
    assert not isinstance(query.filters, ndb.DisjunctionNode)
    assert set(names(query.fetch())) == {"Bern", "Geneva", "Zurich", "Oslo"}


@todays_queries
def test_a_query_with_in_on_the_server_has_pages_and_cursors() -> None:
    query = City.query(City.country.IN(["CH", "NO"], server_op=True))
    first, cursor, more = query.fetch_page(3)
    second, _, _ = query.fetch_page(3, start_cursor=cursor)
    assert more
    assert set(names(first + second)) == {"Bern", "Geneva", "Zurich", "Oslo"}
    assert len(first) == 3


@todays_queries
def test_inequalities_on_two_properties_both_hold() -> None:
    found = City.query(City.population > 150, City.country < "NL").fetch()
    assert set(names(found)) == {"Geneva", "Zurich"}


def test_two_bounds_on_one_property_are_a_range() -> None:
    found = City.query(City.population >= 200, City.population < 700).order(City.population).fetch()
    assert names(found) == ["Geneva", "Zurich", "Rotterdam"]


def test_several_equalities_all_hold_without_an_index_of_one_s_own() -> None:
    assert names(City.query(City.country == "NL", City.tags == "port", City.name == "Rotterdam").fetch()) == [
        "Rotterdam"
    ]
    assert names(City.query(City.country == "NL", City.tags == "lake").fetch()) == []


def test_and_is_what_several_filters_mean() -> None:
    found = City.query(ndb.AND(City.country == "CH", City.tags == "lake")).fetch()
    assert names(found) == ["Geneva", "Zurich"]
    assert ndb.AND is ndb.ConjunctionNode


def test_filter_narrows_a_query_and_leaves_the_first_as_it_was() -> None:
    swiss = City.query(City.country == "CH")
    assert names(swiss.filter(City.tags == "capital").fetch()) == ["Bern"]
    assert len(swiss.fetch()) == 3
    assert isinstance(swiss, ndb.Query)


def test_filters_are_nodes_that_may_be_built_by_name() -> None:
    node = City.country == "CH"
    assert isinstance(node, ndb.FilterNode)
    assert isinstance(node, ndb.Node)
    assert node == ndb.FilterNode("country", "=", "CH")
    query = ndb.Query(kind="City", filters=ndb.FilterNode("country", "=", "CH"))
    assert names(query.fetch()) == ["Bern", "Geneva", "Zurich"]


def test_in_with_nothing_to_choose_from_is_refused() -> None:
    node = City.country.IN([])
    assert isinstance(node, ndb.FalseNode)
    with pytest.raises(exceptions.BadQueryError):
        City.query(node).fetch()


def test_a_composite_query_needs_its_index_and_has_it() -> None:
    query = City.query(City.country == "NL").order(-City.population)
    assert names(query.fetch()) == ["Amsterdam", "Rotterdam", "Delft"]
    assert names(query.filter(City.population < 900).fetch()) == ["Rotterdam", "Delft"]


@indexes_enforced
def test_a_composite_query_without_its_index_is_refused() -> None:
    with pytest.raises(FailedPrecondition, match="index"):
        City.query(City.country == "NL").order(City.name).fetch()


def test_orders_go_up_and_down_one_after_the_other() -> None:
    by_country = City.query().order(City.country, -City.population)
    assert names(by_country.fetch()) == [
        "Zurich",
        "Geneva",
        "Bern",
        "Amsterdam",
        "Rotterdam",
        "Delft",
        "Oslo",
    ]
    assert names(City.query().order(City.country).order(-City.population).fetch()) == names(
        by_country.fetch()
    )


@pytest.mark.parametrize("order", ["name", "-name", "+"])
def test_an_order_may_be_given_by_name(order: str) -> None:
    if order == "+":
        assert names(City.query().order(+City.name).fetch()) == [name for name, *_ in CITIES]
        return
    found = names(ndb.Query(kind="City", order_by=[order]).fetch())
    assert found == sorted(found, reverse=order.startswith("-"))


def test_an_entity_without_the_property_is_not_in_an_order_by_it() -> None:
    ndb.Model(key=ndb.Key("City", "Atlantis")).put()
    assert City.query().count() == 8
    assert len(City.query().order(City.population).fetch()) == 7


@found_once
def test_a_repeated_property_orders_by_its_least_value_up_and_its_greatest_down() -> None:
    assert names(City.query().order(City.tags).fetch())[0] in {"Amsterdam", "Bern", "Oslo"}
    assert names(City.query().order(-City.tags).fetch())[0] in {"Delft", "Geneva", "Zurich"}
    assert len(City.query().order(City.tags).fetch()) == 7


def test_an_order_by_key_goes_both_ways() -> None:
    up = City.query().order(City.key).fetch(keys_only=True)
    assert City.query().order(-City.key).fetch(keys_only=True) == up[::-1]


def test_keys_are_compared_in_a_filter() -> None:
    bern = ndb.Key("Country", "CH", "City", "Bern")
    geneva = ndb.Key("Country", "CH", "City", "Geneva")
    assert names(City.query(City.key == bern).fetch()) == ["Bern"]
    assert names(City.query(City.key > bern, City.key <= geneva).fetch()) == ["Geneva"]
    assert names(City.query(City.key < geneva).fetch()) == ["Bern"]
    assert set(names(City.query(City.key.IN([bern, geneva])).fetch())) == {"Bern", "Geneva"}


@todays_queries
def test_keys_are_excluded_by_a_filter() -> None:
    bern = ndb.Key("Country", "CH", "City", "Bern")
    assert "Bern" not in names(City.query(City.key != bern).fetch())
    assert len(City.query(City.key.NOT_IN([bern])).fetch()) == 6


def test_an_ancestor_finds_what_is_below_it_and_itself() -> None:
    City(key=ndb.Key("Country", "CH", "City", "Bern", "City", "Old Town"), name="Old Town").put()
    assert names(City.query(ancestor=country("CH")).fetch()) == ["Bern", "Old Town", "Geneva", "Zurich"]
    assert names(City.query(ancestor=ndb.Key("Country", "CH", "City", "Bern")).fetch()) == [
        "Bern",
        "Old Town",
    ]
    assert City.query(ancestor=country("XX")).fetch() == []


def test_an_ancestor_and_a_filter_both_hold() -> None:
    found = City.query(City.tags == "university", ancestor=country("CH")).fetch()
    assert names(found) == ["Geneva", "Zurich"]


def test_an_ancestor_without_a_kind_finds_all_kinds_below_it() -> None:
    ndb.Model(key=ndb.Key("Country", "CH", "Lake", "Leman")).put()
    kinds = [key.kind() for key in ndb.Query(ancestor=country("CH")).fetch(keys_only=True)]
    assert kinds == ["City", "City", "City", "Lake"]


def test_an_ancestor_must_be_complete() -> None:
    with pytest.raises(ValueError, match="incomplete"):
        City.query(ancestor=ndb.Key("Country", None))


def test_limit_and_offset_cut_a_piece_out() -> None:
    by_name = City.query().order(City.name)
    assert names(by_name.fetch(2)) == ["Amsterdam", "Bern"]
    assert names(by_name.fetch(2, offset=3)) == ["Geneva", "Oslo"]
    assert names(by_name.fetch(offset=5)) == ["Rotterdam", "Zurich"]
    assert names(by_name.fetch(limit=50)) == [name for name, *_ in CITIES]
    assert by_name.fetch(offset=50) == []


def test_get_answers_with_the_first_or_none() -> None:
    assert City.query().order(-City.population).get().name == "Amsterdam"
    assert City.query(City.name == "Atlantis").get() is None
    assert City.query().order(City.name).get_async().result().name == "Amsterdam"
    assert City.query().order(City.name).get(keys_only=True).id() == "Amsterdam"


def test_fetch_async_answers_with_all() -> None:
    futures = [City.query(City.country == code).fetch_async() for code in ("CH", "NL")]
    assert [len(future.result()) for future in futures] == [3, 3]


def test_count_counts_up_to_its_limit() -> None:
    assert City.query().count() == 7
    assert City.query(City.country == "NL").count() == 3
    assert City.query().count(limit=4) == 4
    assert City.query().count(limit=50) == 7
    assert City.query().count_async().result() == 7


def test_keys_only_reads_no_entity() -> None:
    found = City.query(City.country == "NO").fetch(keys_only=True)
    assert found == [ndb.Key("Country", "NO", "City", "Oslo")]


def test_a_query_sees_a_put_and_a_delete_at_once() -> None:
    oslo = ndb.Key("Country", "NO", "City", "Oslo")
    city = oslo.get()
    city.country = "SE"
    city.put()
    assert City.query(City.country == "NO").get() is None
    assert names(City.query(City.country == "SE").fetch()) == ["Oslo"]
    oslo.delete()
    assert City.query(City.country == "SE").get() is None


def test_a_projection_answers_with_the_properties_asked_for_and_no_others() -> None:
    (bern,) = City.query(City.name == "Bern").fetch(projection=["population"])
    assert bern.population == 130
    assert bern.key.id() == "Bern"
    with pytest.raises(ndb.UnprojectedPropertyError):
        bern.name  # noqa: B018  reading it raises


def test_a_projection_of_two_properties() -> None:
    found = City.query(projection=[City.country, City.population]).fetch()
    assert [(city.country, city.population) for city in found][:2] == [("CH", 130), ("CH", 200)]


def test_a_projection_of_a_repeated_property_answers_once_for_each_value() -> None:
    found = City.query(ancestor=country("NL")).fetch(projection=[City.tags])
    assert sorted(city.tags[0] for city in found) == ["capital", "port", "port", "university"]


def test_a_projection_leaves_out_entities_without_the_property() -> None:
    ndb.Model(key=ndb.Key("City", "Atlantis")).put()
    assert len(City.query().fetch(projection=[City.name])) == 7


def test_only_an_indexed_property_may_be_projected() -> None:
    class Dune(ndb.Model):
        height = ndb.IntegerProperty(indexed=False)

    with pytest.raises(ndb.InvalidPropertyError):
        Dune.query().fetch(projection=[Dune.height])
    with pytest.raises(ndb.BadProjectionError):
        Dune.query().fetch(projection=["no such property"])


def test_a_projected_property_cannot_be_filtered_by_equality() -> None:
    with pytest.raises(InvalidArgument):
        City.query(City.country == "CH").fetch(projection=[City.country])


def test_distinct_on_answers_with_the_first_of_each_group() -> None:
    query = City.query(projection=[City.country], distinct_on=[City.country])
    assert [city.country for city in query.fetch()] == ["CH", "NL", "NO"]
    assert query.is_distinct


def test_distinct_is_distinct_on_the_projection() -> None:
    query = City.query(projection=["country"], distinct=True)
    assert [city.country for city in query.fetch()] == ["CH", "NL", "NO"]
    query = City.query(projection=["country"], group_by=["country"])
    assert [city.country for city in query.fetch()] == ["CH", "NL", "NO"]


def test_distinct_on_one_of_two_projected_properties_takes_the_first_by_order() -> None:
    query = City.query(projection=["country", "population"], distinct_on=["country"])
    found = query.order(City.country, -City.population).fetch()
    assert [(city.country, city.population) for city in found] == [("CH", 430), ("NL", 900), ("NO", 700)]


def test_a_query_may_carry_its_limit_and_offset() -> None:
    query = ndb.Query(kind="City", order_by=["name"], limit=2, offset=1)
    assert names(query.fetch()) == ["Bern", "Delft"]


def test_query_options_may_be_given_as_an_object() -> None:
    options = ndb.QueryOptions(limit=2, offset=1)
    assert names(City.query().order(City.name).fetch(options=options)) == ["Bern", "Delft"]
    query = City.query(default_options=ndb.QueryOptions(limit=1)).order(City.name)
    assert names(query.fetch()) == ["Amsterdam"]


def test_map_applies_a_function_or_a_tasklet_to_each_result() -> None:
    query = City.query(City.country == "CH")
    assert list(query.map(lambda city: city.population)) == [130, 200, 430]
    assert list(query.map(lambda key: key.id(), keys_only=True)) == ["Bern", "Geneva", "Zurich"]
    assert [city.name for city in query.map_async(lambda city: city.key.get_async()).result()][:1] == ["Bern"]
    assert list(City.query(City.country == "XX").map(lambda city: city)) == []


def test_or_finds_each_entity_once() -> None:
    query = City.query(ndb.OR(City.country == "CH", City.tags == "capital"))
    assert sorted(names(query.fetch())) == ["Amsterdam", "Bern", "Geneva", "Oslo", "Zurich"]
    assert isinstance(query.filters, ndb.DisjunctionNode)
    assert ndb.OR is ndb.DisjunctionNode
    assert query.count() == 5


def test_or_within_and_finds_what_both_say() -> None:
    either = ndb.OR(City.tags == "capital", City.tags == "lake")
    found = City.query(ndb.AND(City.country == "CH", either)).fetch()
    assert sorted(names(found)) == ["Bern", "Geneva", "Zurich"]


def test_a_query_of_several_is_merged_in_order_with_limit_and_offset() -> None:
    query = City.query(City.country.IN(["CH", "NL"])).order(-City.population)
    assert names(query.fetch()) == ["Amsterdam", "Rotterdam", "Zurich", "Geneva", "Bern", "Delft"]
    assert names(query.fetch(2, offset=1)) == ["Rotterdam", "Zurich"]
    keys = query.fetch(keys_only=True)
    assert [key.id() for key in keys][:2] == ["Amsterdam", "Rotterdam"]


def test_a_query_of_several_has_no_cursors_and_no_pages() -> None:
    query = City.query(City.country.IN(["CH", "NL"]))
    with pytest.raises(TypeError):
        query.fetch_page(2)
    results = query.iter()
    results.next()
    with pytest.raises(exceptions.BadArgumentError):
        results.cursor_after()


def test_a_query_takes_a_time_limit_and_a_consistency() -> None:
    assert len(City.query().fetch(timeout=20, read_consistency=ndb.STRONG)) == 7
