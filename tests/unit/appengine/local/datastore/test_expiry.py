"""Entities whose time is over are deleted (TTL)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Aborted

from tests.unit.appengine.local.datastore.conftest import Start
from tests.unit.appengine.local.datastore.messages import entity, equal, key, query, unindexed
from tests.unit.appengine.local.datastore.served import Served, rows

PAST = datetime.now(UTC) - timedelta(minutes=1)
FUTURE = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "datastore.sqlite3"


def test_an_entity_whose_time_is_over_goes_with_its_index_entries(start: Start, file: Path) -> None:
    served = start(file, ttl="expires")
    served.put(key("K", 1), expires=FUTURE, a=1)
    before = rows(file, "entity"), rows(file, "entry")
    served.put(key("K", 2), expires=PAST, a=1)

    served.datastore.delete_expired()

    assert served.names(query("K", equal(a=1))) == served.names(query("K")) == [1]
    assert (rows(file, "entity"), rows(file, "entry")) == before


STAYING: dict[str, dict[str, Any]] = {
    "a time to come": {"expires": FUTURE},
    "none": {"expires": None},
    "a number": {"expires": 5},
    "a text": {"expires": "2000-01-01T00:00:00Z"},
    "another property": {"expired": PAST},
    "a time within an entity": {"inner": {"expires": PAST}},
    "an array of times": {"expires": [PAST]},
    "nothing": {},
}


@pytest.mark.parametrize("properties", STAYING.values(), ids=STAYING.keys())
def test_an_entity_without_a_time_that_is_over_stays(start: Start, properties: dict[str, Any]) -> None:
    served = start(ttl="expires")
    served.put(key("K", 1), **properties)

    served.datastore.delete_expired()

    assert len(served.lookup(key("K", 1)).found) == 1


def test_an_unindexed_time_counts_too(start: Start) -> None:
    served = start(ttl="expires")
    served.put(key("K", 1), expires=unindexed(PAST))

    served.datastore.delete_expired()

    assert not served.lookup(key("K", 1)).found


def test_without_a_property_for_it_nothing_expires(served: Served) -> None:
    served.put(key("K", 1), expires=PAST)

    served.datastore.delete_expired()

    assert len(served.lookup(key("K", 1)).found) == 1


def test_a_property_named_later_counts_for_entities_that_are_there(start: Start, file: Path) -> None:
    first = Served.start(file)
    first.put(key("K", 1), expires=PAST)
    first.stop()

    served = start(file, ttl="expires")
    served.datastore.delete_expired()

    assert not served.lookup(key("K", 1)).found


def test_an_entity_given_more_time_stays(start: Start) -> None:
    served = start(ttl="expires")
    for number, properties in enumerate(({"expires": FUTURE}, {}), 1):
        served.put(key("K", number), expires=PAST)
        served.put(key("K", number), **properties)

    served.datastore.delete_expired()

    assert served.names(query("K")) == [1, 2]


def test_many_that_are_over_all_go(start: Start) -> None:
    served = start(ttl="expires")
    for first in (1, 601):
        served.commit(
            *(
                {"upsert": {"key": key("K", number), "properties": {"expires": {"timestamp_value": PAST}}}}
                for number in range(first, first + 600)
            )
        )

    served.datastore.delete_expired()

    assert served.count(query("K")) == 0


def test_an_entity_that_expires_aborts_the_transaction_that_read_it(start: Start) -> None:
    served = start(ttl="expires")
    served.put(key("K", 1), expires=PAST)
    transaction = served.begin()
    assert len(served.lookup(key("K", 1), transaction=transaction).found) == 1

    served.datastore.delete_expired()

    assert len(served.lookup(key("K", 1), transaction=transaction).found) == 1
    with pytest.raises(Aborted):
        served.commit({"upsert": entity(key("K", 2))}, transaction=transaction)
