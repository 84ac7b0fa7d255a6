# mypy: allow-subclassing-any
"""Entities within entities: ndb.StructuredProperty, indexed, and ndb.LocalStructuredProperty, not.

google-cloud-ndb writes the first in two ways, `legacy_data` or not; both are read and searched alike.
"""

from collections.abc import Iterator

import pytest
from google.cloud import ndb
from google.cloud.ndb import exceptions

from tests.functional.ndb.stores import searched_in_arrays, uncached, unindexed_whole


@pytest.fixture(params=[True, False], ids=["legacy data", "nested data"], autouse=True)
def _context(client: ndb.Client, request: pytest.FixtureRequest) -> Iterator[None]:
    with uncached(client, legacy_data=request.param):
        yield


class Address(ndb.Model):
    street = ndb.StringProperty()
    city = ndb.StringProperty()
    since = ndb.IntegerProperty(name="s")


class Contact(ndb.Model):
    name = ndb.StringProperty()
    home = ndb.StructuredProperty(Address)
    offices = ndb.StructuredProperty(Address, repeated=True)
    past = ndb.LocalStructuredProperty(Address)
    travels = ndb.LocalStructuredProperty(Address, repeated=True)
    archive = ndb.LocalStructuredProperty(Address, compressed=True)


BERN = Address(street="Gasse", city="Bern", since=3)
ROME = Address(street="Via", city="Rome", since=1)


def values(*structures: ndb.Model) -> list[dict[str, object]]:
    """What they hold. Legacy data gives a structure that was read a key without an id."""
    return [structure.to_dict() for structure in structures]


def test_a_structure_is_read_as_it_was_written() -> None:
    key = Contact(name="a", home=BERN).put()
    assert values(key.get().home) == values(BERN)
    assert isinstance(key.get().home, Address)


def test_repeated_structures_keep_their_order() -> None:
    key = Contact(name="a", offices=[ROME, BERN, ROME]).put()
    assert values(*key.get().offices) == values(ROME, BERN, ROME)


def test_no_structure_is_none_and_no_structures_an_empty_list() -> None:
    key = Contact(name="a").put()
    assert (key.get().home, key.get().offices) == (None, [])
    assert (key.get().past, key.get().travels) == (None, [])


def test_an_entity_is_found_by_a_property_of_its_structure() -> None:
    key = Contact(name="a", home=BERN).put()
    Contact(name="b", home=ROME).put()
    assert [found.key for found in Contact.query(Contact.home.city == "Bern")] == [key]
    assert [found.key for found in Contact.query(Contact.home.since > 2)] == [key]
    assert [found.name for found in Contact.query().order(Contact.home.city)] == ["a", "b"]


def test_an_entity_is_found_by_all_that_a_structure_holds() -> None:
    key = Contact(name="a", home=BERN).put()
    Contact(name="b", home=Address(street="Gasse", city="Basel")).put()
    assert [found.key for found in Contact.query(Contact.home == Address(street="Gasse", city="Bern"))] == [
        key
    ]


@searched_in_arrays
def test_repeated_structures_are_found_by_one_that_has_every_value() -> None:
    key = Contact(name="a", offices=[BERN, ROME]).put()
    Contact(name="b", offices=[Address(street="Via", city="Bern"), Address(city="Rome")]).put()
    found = Contact.query(Contact.offices == Address(street="Via", city="Rome"))
    assert [contact.key for contact in found] == [key]
    assert {contact.name for contact in Contact.query(Contact.offices.city == "Rome")} == {"a", "b"}


@searched_in_arrays
def test_a_search_among_repeated_structures_filters_again_with_a_predicate() -> None:
    key = Contact(name="a", offices=[BERN, ROME]).put()
    node = Contact.offices == Address(street="Via", city="Rome")
    predicates = [part for part in node if isinstance(part, ndb.PostFilterNode)]
    assert isinstance(predicates[0].predicate, ndb.RepeatedStructuredPropertyPredicate)
    results = Contact.query(node).iter()
    assert results.has_next()
    assert results.next().key == key
    assert not results.has_next()


def test_structures_are_found_by_in() -> None:
    Contact(name="a", home=BERN).put()
    Contact(name="b", home=ROME).put()
    Contact(name="c", home=Address(city="Oslo")).put()
    found = Contact.query(Contact.home.IN([Address(city="Bern"), Address(city="Rome")]))
    assert sorted(contact.name for contact in found) == ["a", "b"]


def test_a_structure_takes_only_equality() -> None:
    with pytest.raises(exceptions.BadFilterError):
        Contact.home > BERN  # noqa: B015  building the filter raises


def test_a_property_of_a_structure_may_be_projected() -> None:
    Contact(name="a", home=BERN).put()
    (found,) = Contact.query().fetch(projection=[Contact.home.city])
    assert found.home.city == "Bern"


def test_structures_within_structures() -> None:
    class Employer(ndb.Model):
        name = ndb.StringProperty()
        seat = ndb.StructuredProperty(Address)

    class Worker(ndb.Model):
        employer = ndb.StructuredProperty(Employer)
        rooms = ndb.StructuredProperty(Employer, repeated=True)

    employer = Employer(name="x", seat=BERN)
    key = Worker(employer=employer, rooms=[employer, Employer(name="y", seat=ROME)]).put()
    assert values(key.get().employer) == values(employer)
    assert [room.seat.city for room in key.get().rooms] == ["Bern", "Rome"]
    assert Worker.query(ndb.FilterNode("employer.seat.city", "=", "Bern")).get().key == key


def test_repeated_within_repeated_is_refused() -> None:
    with pytest.raises(TypeError):
        ndb.StructuredProperty(Contact, repeated=True)


def test_a_structure_may_be_left_out_of_every_index() -> None:
    class Parcel(ndb.Model):
        to = ndb.StructuredProperty(Address, indexed=False)

    assert values(Parcel(to=BERN).put().get().to) == values(BERN)
    with pytest.raises(exceptions.BadFilterError):
        Parcel.to == BERN  # noqa: B015  building the filter raises


def test_a_dictionary_is_taken_for_a_structure() -> None:
    key = Contact(home={"city": "Bern"}, past={"city": "Rome"}).put()
    assert (key.get().home.city, key.get().past.city) == ("Bern", "Rome")
    assert key.get().to_dict(include=["home"]) == {"home": {"street": None, "city": "Bern", "since": None}}


def test_a_local_structure_is_read_as_it_was_written_once_repeated_or_compressed() -> None:
    key = Contact(name="a", past=BERN, travels=[ROME, BERN], archive=ROME).put()
    read = key.get()
    assert (read.past, read.travels, read.archive) == (BERN, [ROME, BERN], ROME)


@unindexed_whole
def test_a_local_structure_is_not_searched() -> None:
    Contact(name="a", past=BERN).put()
    assert Contact.query(ndb.FilterNode("past.city", "=", "Bern")).get() is None
    with pytest.raises(exceptions.BadFilterError):
        Contact.past == BERN  # noqa: B015  building the filter raises


def test_a_local_structure_may_keep_its_key() -> None:
    class Envelope(ndb.Model):
        within = ndb.LocalStructuredProperty(Address, keep_keys=True)
        bare = ndb.LocalStructuredProperty(Address)

    address = Address(id="home", city="Bern")
    read = Envelope(within=address, bare=address).put().get()
    assert read.within.key.id() == "home"
    assert read.bare.key is None or read.bare.key.id() is None


def test_a_structure_that_computes() -> None:
    class Span(ndb.Model):
        low = ndb.IntegerProperty()
        high = ndb.IntegerProperty()
        width = ndb.ComputedProperty(lambda self: self.high - self.low)

    class Ruler(ndb.Model):
        span = ndb.StructuredProperty(Span)
        spans = ndb.StructuredProperty(Span, repeated=True)

    key = Ruler(span=Span(low=1, high=5), spans=[Span(low=1, high=2), Span(low=1, high=3)]).put()
    assert Ruler.query(Ruler.span.width == 4).get().key == key
    assert [span.width for span in key.get().spans] == [1, 2]
