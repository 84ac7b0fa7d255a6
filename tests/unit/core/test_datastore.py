import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import Aborted, AlreadyExists, GoogleAPICallError, ServiceUnavailable
from google.cloud import ndb

from apps.appengine import ndb_context
from apps.core import datastore
from apps.core.datastore import Writes
from tests.wire import Wire


class Counter(ndb.Model):
    """Something that several threads change at once."""

    value: int = ndb.IntegerProperty(default=0, indexed=False)
    ballast: bytes | None = ndb.BlobProperty()


def counter(name: str, value: int = 0) -> Counter:
    return Counter(key=ndb.Key(Counter, name), value=value)


def value_of(name: str) -> int | None:
    found = ndb.Key(Counter, name).get()
    return found and found.value


def increment(entities: list[Any]) -> tuple[Writes, int]:
    found = entities[0] or counter("shared")
    found.value += 1
    return Writes(put=[found]), found.value


@pytest.mark.usefixtures("datastore")
def test_inserting_what_exists_is_refused_and_writes_nothing_of_the_batch() -> None:
    datastore.commit(Writes(insert=[counter("taken", 1)]))
    with pytest.raises(AlreadyExists):
        datastore.commit(Writes(insert=[counter("new"), counter("taken", 2)], put=[counter("other")]))
    assert (value_of("taken"), value_of("new"), value_of("other")) == (1, None, None)


@pytest.mark.usefixtures("datastore")
def test_a_transaction_that_inserts_what_exists_is_refused_and_writes_nothing() -> None:
    datastore.commit(Writes(insert=[counter("taken", 1)]))
    writes = Writes(insert=[counter("new"), counter("taken", 2)])
    with pytest.raises(AlreadyExists):
        datastore.transact([ndb.Key(Counter, "else")], lambda _: (writes, None))
    assert (value_of("taken"), value_of("new")) == (1, None)


@pytest.mark.usefixtures("datastore")
def test_lookups_keep_the_order_of_their_keys_and_give_none() -> None:
    datastore.commit(Writes(insert=[counter(str(number), number) for number in range(5)]))
    keys = [ndb.Key(Counter, name) for name in ("3", "absent", "0", "4", "gone")]
    found = datastore.lookup(keys)
    assert [one and one.value for one in found] == [3, None, 0, 4, None]
    assert datastore.transact(keys, lambda entities: (Writes(), entities)) == found


@pytest.mark.usefixtures("datastore")
def test_a_lookup_of_nothing_is_nothing() -> None:
    assert datastore.lookup([]) == []


@pytest.mark.usefixtures("datastore")
def test_a_large_lookup_is_whole_and_in_order() -> None:
    """1,000 keys, as many as the Datastore takes, and 8 MB."""
    bulky = [counter(str(number), number) for number in range(250)]
    for one in bulky:
        one.ballast = b"x" * 32_000
    for some in batched(bulky, 50, strict=True):
        datastore.commit(Writes(insert=some))
    names = random.sample(range(1000), 1000)
    found = datastore.lookup([ndb.Key(Counter, str(name)) for name in names])
    assert [one and one.value for one in found] == [name if name < 250 else None for name in names]


@pytest.mark.usefixtures("datastore")
def test_keys_that_the_datastore_defers_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = type(ndb_context.client().stub)
    real, asked = transport.lookup, []

    def two_at_a_time(transport: Any) -> Callable[..., Any]:
        def lookup(request: Any, **options: Any) -> Any:
            deferred = list(request.keys[2:])
            request.keys = request.keys[:2]
            answer = real.fget(transport)(request, **options)
            answer.deferred = deferred
            asked.append((len(request.keys), request.read_options.transaction))
            return answer

        return lookup

    datastore.commit(Writes(insert=[counter(str(number), number) for number in range(5)]))
    monkeypatch.setattr(transport, "lookup", property(two_at_a_time))
    keys = [ndb.Key(Counter, str(number)) for number in (4, 9, 2, 3, 0)]
    found = datastore.transact(keys, lambda entities: (Writes(), entities))
    assert [one and one.value for one in found] == [4, None, 2, 3, 0]
    assert [count for count, _ in asked] == [2, 2, 1]
    assert asked[1][1] == asked[2][1] != b"", "in the transaction that the first call began"
    assert [one and one.value for one in datastore.lookup(keys)] == [4, None, 2, 3, 0]


def test_a_transaction_is_two_calls_and_a_commit_is_one(wire: Wire) -> None:
    datastore.commit(Writes(insert=[counter("a"), counter("b")]))
    assert wire.calls == {"Commit": 1}
    wire.reset()
    datastore.transact([ndb.Key(Counter, "a"), ndb.Key(Counter, "b")], increment)
    assert wire.calls == {"Lookup": 1, "Commit": 1}


@pytest.mark.usefixtures("datastore")
def test_no_increment_of_contending_threads_is_lost() -> None:
    def twenty_times() -> list[int]:
        with ndb_context.use():
            return [datastore.transact([ndb.Key(Counter, "shared")], increment) for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        seen = [one.result() for one in [pool.submit(twenty_times) for _ in range(2)]]
    assert value_of("shared") == 40
    assert sorted(seen[0] + seen[1]) == list(range(1, 41)), "each saw a value of its own"


@pytest.mark.usefixtures("datastore")
def test_a_transaction_decides_anew_when_what_it_read_has_changed() -> None:
    seen = []

    def step(entities: list[Any]) -> tuple[Writes, None]:
        seen.append(entities[0] and entities[0].value)
        if len(seen) == 1:
            counter("shared", 7).put()
        return increment(entities)[0], None

    datastore.transact([ndb.Key(Counter, "shared")], step)
    assert seen == [None, 7]
    assert value_of("shared") == 8


def test_contention_that_does_not_end_is_an_error(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datastore, "TRANSACTION_TRIES", 3)
    wire.commit_faults = [("before", grpc.StatusCode.ABORTED)] * 4
    with pytest.raises(Aborted):
        datastore.transact([ndb.Key(Counter, "shared")], increment)
    assert wire.calls["Commit"] == 3
    assert value_of("shared") is None


@pytest.mark.parametrize(
    "fault", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL]
)
def test_a_transient_fault_of_a_commit_is_tried_once_more(wire: Wire, fault: grpc.StatusCode) -> None:
    wire.commit_faults = [("before", fault)]
    datastore.commit(Writes(insert=[counter("a", 1)]))
    assert value_of("a") == 1


def test_two_transient_faults_are_an_error(wire: Wire) -> None:
    wire.commit_faults = [("before", grpc.StatusCode.UNAVAILABLE)] * 3
    with pytest.raises(ServiceUnavailable):
        datastore.commit(Writes(insert=[counter("a", 1)]))
    assert wire.calls["Commit"] == 2


def test_a_permanent_fault_is_not_tried_again(wire: Wire) -> None:
    wire.commit_faults = [("before", grpc.StatusCode.PERMISSION_DENIED)] * 2
    with pytest.raises(GoogleAPICallError):
        datastore.commit(Writes(insert=[counter("a", 1)]))
    assert wire.calls["Commit"] == 1


def test_a_commit_whose_answer_got_lost_says_that_the_key_is_taken_and_is_whole(wire: Wire) -> None:
    wire.commit_faults = [("after", grpc.StatusCode.UNAVAILABLE)]
    with pytest.raises(AlreadyExists):
        datastore.commit(Writes(insert=[counter("a", 1), counter("b", 1)]))
    assert (value_of("a"), value_of("b")) == (1, 1)


def test_a_transaction_whose_answer_got_lost_decides_anew_from_what_it_wrote(wire: Wire) -> None:
    wire.commit_faults = [("after", grpc.StatusCode.UNAVAILABLE)]
    seen = []

    def once(entities: list[Any]) -> tuple[Writes, None]:
        seen.append(entities[0] and entities[0].value)
        return Writes() if entities[0] else increment(entities)[0], None

    datastore.transact([ndb.Key(Counter, "shared")], once)
    assert seen == [None, 1]
    assert value_of("shared") == 1


def test_a_step_that_raises_writes_nothing_and_gives_its_locks_back(wire: Wire) -> None:
    """An open transaction would hold what it read until the Datastore gives it up."""

    def step(_: list[Any]) -> tuple[Writes, None]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        datastore.transact([ndb.Key(Counter, "shared")], step)
    assert wire.calls == {"Lookup": 1, "Rollback": 1}
