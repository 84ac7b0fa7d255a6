"""Transactions: who loses a conflict, what a snapshot shows, how they end."""

import time
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from google.api_core.exceptions import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    GoogleAPICallError,
    InvalidArgument,
    NotFound,
)
from google.cloud.datastore_v1 import types

from apps.appengine.local.datastore import transactions
from tests.unit.appengine.local.datastore.messages import below, entity, equal, key, query, where
from tests.unit.appengine.local.datastore.served import Served, in_threads

K, OTHER = key("K", 1), key("K", 2)


def upsert(of: types.Key, **properties: Any) -> dict[str, Any]:
    return {"upsert": entity(of, **properties)}


def content(served: Served, of: types.Key, transaction: bytes = b"") -> int | None:
    """The property a of an entity."""
    found = served.lookup(of, transaction=transaction).found
    return found[0].entity.properties["a"].integer_value if found else None


READS: dict[str, Any] = {
    "the entity": lambda served, of: served.lookup(K, transaction=of),
    "that it is missing": lambda served, of: served.lookup(OTHER, transaction=of),
    "a query that found it": lambda served, of: served.run(query("K", equal(a=1)), of),
    "a query by key": lambda served, of: served.run(query("K", projection="__key__"), of),
    "a query that found nothing": lambda served, of: served.run(query("K", equal(a=5)), of),
    "a query that it now leaves": lambda served, of: served.run(query("K", where("a", "LESS_THAN", 5)), of),
    "a count": lambda served, of: served.count(query("K", equal(a=5)), of),
    "a query with a limit": lambda served, of: served.run(query("K", order="-a", limit=1), of),
    "a query below an ancestor": lambda served, of: served.run(query("", below(K)), of),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_the_loser_of_a_conflict_aborts_and_changes_nothing(served: Served, read: Any) -> None:
    served.put(K, a=1)
    loser = served.begin()
    read(served, loser)

    served.put_all([entity(K, a=5), entity(OTHER, a=5)])

    with pytest.raises(Aborted):
        served.commit(upsert(key("Result", 1), a=1), transaction=loser)
    assert content(served, key("Result", 1)) is None


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_a_transaction_whose_reads_still_hold_commits(served: Served, read: Any) -> None:
    served.put(K, a=1)
    winner = served.begin()
    read(served, winner)

    served.put(key("Unrelated", 1), a=5)

    served.commit(upsert(K, a=6), transaction=winner)
    assert content(served, K) == 6


def test_a_deleted_entity_is_a_conflict(served: Served) -> None:
    served.put(K, a=1)
    loser = served.begin()
    content(served, K, loser)

    served.commit({"delete": K})

    with pytest.raises(Aborted):
        served.commit(upsert(K, a=2), transaction=loser)


def test_an_entity_written_anew_with_the_same_content_is_a_conflict(served: Served) -> None:
    served.put(K, a=1)
    loser = served.begin()
    content(served, K, loser)

    served.commit({"delete": K})
    served.put(K, a=1)

    with pytest.raises(Aborted):
        served.commit(upsert(K, a=2), transaction=loser)


def test_blind_writes_do_not_conflict(served: Served) -> None:
    first, second = served.begin(), served.begin()

    served.commit(upsert(K, a=1), transaction=first)
    served.commit(upsert(K, a=2), transaction=second)

    assert content(served, K) == 2


def test_of_two_that_read_the_same_one_commits(served: Served) -> None:
    served.put(K, a=0)
    first, second = served.begin(), served.begin()
    assert content(served, K, first) == content(served, K, second) == 0

    served.commit(upsert(K, a=1), transaction=second)

    with pytest.raises(Aborted):
        served.commit(upsert(K, a=1), transaction=first)


def test_increments_from_many_threads_all_count(served: Served) -> None:
    served.put(K, a=0)

    def increment() -> None:
        for _ in range(5):
            while True:
                transaction = served.begin()
                number = content(served, K, transaction) or 0
                try:
                    served.commit(upsert(K, a=number + 1), transaction=transaction)
                    break
                except Aborted:
                    continue

    in_threads([increment] * 4)
    assert content(served, K) == 20


def test_a_transaction_reads_as_of_its_beginning_not_its_own_writes(served: Served) -> None:
    served.put(K, a=1)
    transaction = served.begin()

    served.put_all([entity(K, a=2), entity(OTHER, a=1)])

    assert content(served, K, transaction) == 1
    assert content(served, OTHER, transaction) is None
    assert served.names(query("K", equal(a=1)), transaction) == [1]
    assert served.count(query("K"), transaction) == 1


def test_a_read_only_transaction_reads_its_snapshot_and_commits_whatever_changed(served: Served) -> None:
    served.put(K, a=1)
    transaction = served.begin(read_only={})
    assert content(served, K, transaction) == 1

    served.put(K, a=2)

    assert content(served, K, transaction) == 1
    served.commit(transaction=transaction)


def test_a_read_only_transaction_writes_nothing(served: Served) -> None:
    with pytest.raises(InvalidArgument, match="read-only"):
        served.commit(upsert(K, a=1), transaction=served.begin(read_only={}))
    with pytest.raises(InvalidArgument, match="READ_WRITE"):
        served.commit(upsert(K, a=1), single_use_transaction={"read_only": {}})
    assert content(served, K) is None


def test_what_is_rolled_back_never_was_and_is_over(served: Served) -> None:
    transaction = served.begin()
    content(served, K, transaction)

    served.call("rollback", transaction=transaction)

    with pytest.raises(InvalidArgument, match="transaction"):
        served.commit(upsert(K, a=1), transaction=transaction)


ENDINGS: dict[str, Any] = {
    "commit": lambda served, of: served.commit(transaction=of),
    "a commit with a write": lambda served, of: served.commit(upsert(key("Else", 1), a=1), transaction=of),
    "rollback": lambda served, of: served.call("rollback", transaction=of),
}
USES: dict[str, Any] = ENDINGS | {
    "lookup": lambda served, of: served.lookup(K, transaction=of),
    "query": lambda served, of: served.run(query("K"), of),
    "count": lambda served, of: served.count(query("K"), of),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_transaction_that_has_ended_is_invalid(served: Served, end: Any, use: Any) -> None:
    transaction = served.begin()
    end(served, transaction)

    with pytest.raises(InvalidArgument, match="expired or is no longer valid"):
        use(served, transaction)


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_an_unknown_transaction_is_invalid(served: Served, use: Any) -> None:
    with pytest.raises(InvalidArgument, match="expired or is no longer valid"):
        use(served, b"unknown")


def test_of_two_commits_of_one_transaction_at_once_one_is_done(served: Served) -> None:
    for number in range(5):
        transaction = served.begin()
        done: list[int] = []

        def commit(of: bytes = transaction, of_round: int = number, done: list[int] = done) -> None:
            with suppress(InvalidArgument):
                served.commit({"insert": entity(key("K", 1 + of_round))}, transaction=of)
                done.append(of_round)

        in_threads([commit] * 4)
        assert done == [number]


def test_many_readers_at_once_are_all_answered(served: Served) -> None:
    served.put(K, a=1)
    answers: list[int | None] = []

    def read() -> None:
        for _ in range(10):
            transaction = served.begin(read_only={})
            answers.append(content(served, K, transaction))
            served.call("rollback", transaction=transaction)

    in_threads([read] * 16)
    assert answers == [1] * 160


def test_a_transaction_that_aborted_can_be_rolled_back_as_clients_do_but_not_used(served: Served) -> None:
    transaction = served.begin()
    content(served, K, transaction)
    served.put(K, a=1)
    with pytest.raises(Aborted):
        served.commit(upsert(K, a=2), transaction=transaction)

    served.call("rollback", transaction=transaction)
    with pytest.raises(InvalidArgument):
        content(served, K, transaction)


@pytest.mark.parametrize("limit", ["IDLE_SECONDS", "MAX_SECONDS"])
def test_a_transaction_expires_when_idle_and_when_old(
    served: Served, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    transaction = served.begin()
    content(served, K, transaction)

    monkeypatch.setattr(transactions, limit, 0)

    with pytest.raises(InvalidArgument, match="expired"):
        served.commit(upsert(K, a=1), transaction=transaction)
    assert content(served, K) is None


def test_a_transaction_in_use_is_not_idle(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "IDLE_SECONDS", 1)
    transaction, began = served.begin(), time.monotonic()

    while time.monotonic() < began + 1.2:
        time.sleep(0.1)
        content(served, K, transaction)

    served.commit(upsert(K, a=1), transaction=transaction)


def test_a_commit_with_a_transaction_of_its_own_is_all_or_nothing(served: Served) -> None:
    served.commit(upsert(K, a=1), {"insert": entity(OTHER, a=1)}, single_use_transaction={})

    with pytest.raises(AlreadyExists):
        served.commit(upsert(K, a=2), {"insert": entity(OTHER, a=2)}, single_use_transaction={})
    assert (content(served, K), content(served, OTHER)) == (1, 1)


def test_a_read_can_begin_a_transaction_and_says_which(served: Served) -> None:
    served.put(K, a=1)
    begun: dict[str, Any] = {"read_options": {"new_transaction": {}}}
    by_key = served.call("lookup", keys=[K], **begun)
    by_query = served.call("run_query", query=query("K", equal(a=1)), **begun)

    served.commit(upsert(K, a=2), transaction=by_key.transaction)

    with pytest.raises(Aborted):
        served.commit(upsert(K, a=3), transaction=by_query.transaction)
    assert not served.lookup(K).transaction


FAILURES: dict[str, tuple[dict[str, Any], type[GoogleAPICallError]]] = {
    "insert": ({"insert": entity(K, a=2)}, AlreadyExists),
    "update": ({"update": entity(OTHER, a=2)}, NotFound),
}


@pytest.mark.parametrize(("mutation", "error"), FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("transactional", [False, True])
def test_a_mutation_that_fails_undoes_the_whole_commit(
    served: Served, mutation: dict[str, Any], error: type[GoogleAPICallError], transactional: bool
) -> None:
    served.put(K, a=1)
    of = key("K", 3)

    with pytest.raises(error):
        served.commit(upsert(of, a=1), mutation, transaction=served.begin() if transactional else b"")
    assert content(served, of) is None
    assert served.names(query("K", equal(a=1))) == [1]


def test_commits_that_share_a_moment_fail_alone(served: Served) -> None:
    served.put(K, a=1)
    failed: list[int] = []

    def write(number: int) -> None:
        try:
            served.commit(upsert(key("T", 1 + number), a=1), *([{"insert": entity(K)}] if number % 2 else []))
        except AlreadyExists:
            failed.append(number)

    in_threads([partial(write, number) for number in range(16)])
    assert sorted(failed) == list(range(1, 16, 2))
    assert served.names(query("T")) == list(range(1, 16, 2))


def test_a_sequence_of_mutations_that_makes_no_sense_is_refused(served: Served) -> None:
    served.put(K, a=1)
    insert, update, delete = {"insert": entity(OTHER)}, {"update": entity(K)}, {"delete": K}

    for first, second in (
        (insert, insert),
        (upsert(OTHER), insert),
        ({"update": entity(OTHER)}, insert),
        (delete, update),
    ):
        with pytest.raises(InvalidArgument, match=r"cannot .* in the same request"):
            served.commit(first, second, single_use_transaction={})


def test_mutations_of_one_entity_are_applied_in_order(served: Served) -> None:
    served.commit(upsert(K, a=1), upsert(K, a=2), {"delete": K}, upsert(K, a=3), single_use_transaction={})

    assert content(served, K) == 3
    assert served.names(query("K", where("a", "LESS_THAN", 3))) == []


SEEN: dict[str, Any] = {
    "base_version": lambda result: {"base_version": result.version},
    "update_time": lambda result: {"update_time": result.update_time},
}


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN.keys())
def test_a_write_over_what_was_last_seen_succeeds(served: Served, seen: Any) -> None:
    last = seen(served.put(K, a=1))

    result = served.commit(upsert(K, a=2) | last).mutation_results[0]

    assert not result.conflict_detected
    assert content(served, K) == 2


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN.keys())
@pytest.mark.parametrize("operation", ["upsert", "update", "delete"])
def test_a_write_over_something_newer_is_said_to_conflict_and_not_done(
    served: Served, seen: Any, operation: str
) -> None:
    last = seen(served.put(K, a=1))
    newer = served.put(K, a=2)
    mutation = {operation: K if operation == "delete" else entity(K, a=3)}

    committed = served.commit(mutation | last, upsert(OTHER, a=1)).mutation_results

    assert committed[0].conflict_detected
    assert committed[0].version == newer.version
    assert content(served, K) == 2
    assert content(served, OTHER) == 1


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN.keys())
def test_a_conflict_that_is_to_fail_fails_the_whole_commit(served: Served, seen: Any) -> None:
    last = seen(served.put(K, a=1))
    served.put(K, a=2)

    with pytest.raises(FailedPrecondition):
        served.commit(upsert(OTHER, a=1), upsert(K, a=3) | last | {"conflict_resolution_strategy": "FAIL"})
    assert (content(served, K), content(served, OTHER)) == (2, None)


@pytest.mark.parametrize(("seconds", "nanos"), [(1, -1), (-(10**12), 0)])
def test_a_last_update_at_no_time_is_refused(served: Served, seconds: int, nanos: int) -> None:
    mutation = types.Mutation.pb(types.Mutation(upsert=entity(K)))
    mutation.update_time.seconds, mutation.update_time.nanos = seconds, nanos

    with pytest.raises(InvalidArgument):
        served.call("commit", mode="NON_TRANSACTIONAL", mutations=[types.Mutation.wrap(mutation)])


def test_versions_grow_and_an_entity_keeps_the_time_of_its_creation(served: Served) -> None:
    first, second = served.put(K, a=1), served.put(K, a=2)

    assert second.version > first.version
    found = served.lookup(K).found[0]
    assert found.version == second.version
    assert found.create_time == first.update_time < found.update_time == second.update_time
