# mypy: allow-subclassing-any, allow-untyped-decorators, allow-untyped-calls
"""Transactions: all or nothing, alone or again, and what may run inside one another."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import Aborted, InvalidArgument, RetryError
from google.cloud import ndb
from google.cloud.ndb import exceptions

from tests.functional.ndb.stores import optimistic, read_only_ends, uncached

pytestmark = pytest.mark.usefixtures("context")


class Account(ndb.Model):
    balance = ndb.IntegerProperty(default=0)


@pytest.fixture
def elsewhere(client: ndb.Client) -> Callable[[Callable[[], Any]], None]:
    """Runs a function to its end in another thread, in a context of its own."""

    def run(function: Callable[[], Any]) -> None:
        def in_context() -> None:
            with uncached(client):
                function()

        thread = threading.Thread(target=in_context)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()

    return run


def add(key: ndb.Key, amount: int) -> None:
    account = key.get()
    account.balance += amount
    account.put()


def test_what_a_transaction_wrote_is_there_after_its_end() -> None:
    a, b = ndb.put_multi([Account(balance=10), Account(balance=0)])

    def move() -> str:
        add(a, -5)
        add(b, 5)
        return "moved"

    assert ndb.transaction(move) == "moved"
    assert (a.get().balance, b.get().balance) == (5, 5)


def test_an_exception_undoes_puts_and_deletes() -> None:
    kept, changed = ndb.put_multi([Account(id="kept"), Account(id="changed", balance=1)])

    def fail() -> None:
        kept.delete()
        add(changed, 1)
        Account(id="new").put()
        raise LookupError("on purpose")

    with pytest.raises(LookupError):
        ndb.transaction(fail)
    assert kept.get() is not None
    assert changed.get().balance == 1
    assert Account.get_by_id("new") is None


def test_rollback_undoes_and_is_raised() -> None:
    def roll_back() -> None:
        Account(id="new").put()
        raise ndb.Rollback

    with pytest.raises(ndb.Rollback):
        ndb.transaction(roll_back)
    assert Account.get_by_id("new") is None


def test_a_transaction_reads_the_state_before_its_own_writes() -> None:
    key = Account(balance=1).put()

    def write_and_read() -> tuple[int, list[int]]:
        Account(key=key, balance=2).put().get()
        found = Account.query(Account.balance == 1, ancestor=key).fetch()
        return key.get().balance, [account.balance for account in found]

    assert ndb.transaction(write_and_read) == (1, [1])
    assert key.get().balance == 2


def test_a_transaction_over_many_entities_is_one() -> None:
    keys = ndb.put_multi([Account() for _ in range(40)])

    def add_to_all() -> None:
        for account in ndb.get_multi(keys):
            account.balance += 1
            account.put()

    ndb.transaction(add_to_all, xg=True)
    assert {account.balance for account in ndb.get_multi(keys)} == {1}


def test_a_new_entity_has_its_key_before_the_transaction_ends() -> None:
    def put_two() -> ndb.Key:
        parent = Account().put()
        assert parent.id()
        return Account(parent=parent, balance=7).put()

    assert ndb.transaction(put_two).get().balance == 7


def test_the_last_of_a_put_and_a_delete_of_one_entity_counts() -> None:
    key = Account(balance=1).put()

    def put_and_delete() -> None:
        Account(key=key, balance=2).put()
        key.delete()

    ndb.transaction(put_and_delete)
    assert key.get() is None

    def delete_and_put() -> None:
        key.delete()
        Account(key=key, balance=3).put()

    ndb.transaction(delete_and_put)
    assert key.get().balance == 3


def test_queries_in_a_transaction_with_and_without_an_ancestor() -> None:
    parent = Account(id="parent", balance=1).put()
    Account(parent=parent, balance=2).put()

    def balances() -> tuple[list[int], list[int]]:
        below = Account.query(ancestor=parent).fetch()
        every = Account.query(Account.balance >= 1).order(Account.balance).fetch()
        return [account.balance for account in below], [account.balance for account in every]

    assert ndb.transaction(balances) == ([1, 2], [1, 2])


@optimistic
def test_a_transaction_that_lost_a_race_is_run_again(elsewhere: Callable[[Any], None]) -> None:
    key = Account().put()
    attempts: list[int] = []

    def add_one() -> None:
        account = key.get()
        if not attempts:
            elsewhere(lambda: add(key, 100))
        attempts.append(account.balance)
        account.balance += 1
        account.put()

    ndb.transaction(add_one)
    assert attempts == [0, 100]
    assert key.get().balance == 101


@optimistic
def test_without_retries_the_loser_of_a_race_is_aborted(elsewhere: Callable[[Any], None]) -> None:
    key = Account().put()

    def add_one() -> None:
        account = key.get()
        elsewhere(lambda: add(key, 100))
        account.balance += 1
        account.put()

    with pytest.raises(Aborted):
        ndb.transaction(add_one, retries=0)
    assert key.get().balance == 100


@optimistic
def test_a_transaction_that_always_loses_gives_up(elsewhere: Callable[[Any], None]) -> None:
    key = Account().put()

    def add_one() -> None:
        account = key.get()
        elsewhere(lambda: add(key, 100))
        account.balance += 1
        account.put()

    with pytest.raises(RetryError):
        ndb.transaction(add_one, retries=1)
    assert key.get().balance == 200


@optimistic
def test_what_a_transaction_read_must_still_hold_when_it_writes_elsewhere(
    elsewhere: Callable[[Any], None],
) -> None:
    read, written = ndb.put_multi([Account(), Account()])

    def copy() -> None:
        balance = read.get().balance
        elsewhere(lambda: add(read, 1))
        Account(key=written, balance=balance).put()

    with pytest.raises(Aborted):
        ndb.transaction(copy, retries=0)


@optimistic
def test_what_a_transaction_did_not_find_must_still_be_missing(elsewhere: Callable[[Any], None]) -> None:
    key = ndb.Key(Account, "new")

    def create() -> None:
        assert key.get() is None
        elsewhere(lambda: Account(key=key, balance=1).put())
        Account(key=key, balance=2).put()

    with pytest.raises(Aborted):
        ndb.transaction(create, retries=0)
    assert key.get().balance == 1


@optimistic
def test_what_a_transaction_s_query_found_must_still_be_all(elsewhere: Callable[[Any], None]) -> None:
    parent = Account(id="parent").put()

    def count() -> None:
        children = len(Account.query(ancestor=parent).fetch())
        elsewhere(lambda: Account(parent=parent).put())
        Account(key=parent, balance=children).put()

    with pytest.raises(Aborted):
        ndb.transaction(count, retries=0)


@optimistic
def test_a_race_for_other_entities_is_no_conflict(elsewhere: Callable[[Any], None]) -> None:
    mine, other = ndb.put_multi([Account(), Account()])

    def add_one() -> None:
        account = mine.get()
        elsewhere(lambda: add(other, 100))
        account.balance += 1
        account.put()

    ndb.transaction(add_one, retries=0)
    assert (mine.get().balance, other.get().balance) == (1, 100)


@optimistic
def test_a_transaction_never_sees_half_of_another(elsewhere: Callable[[Any], None]) -> None:
    a, b = ndb.put_multi([Account(balance=1), Account(balance=1)])
    attempts = []

    def read_both() -> int:
        attempts.append(1)
        first = a.get().balance
        if len(attempts) == 1:
            elsewhere(lambda: ndb.put_multi([Account(key=a, balance=2), Account(key=b, balance=2)]))
        return int(first + b.get(retries=0).balance)

    assert ndb.transaction(read_both) in {2, 4}


def test_threads_that_count_at_once_lose_nothing(client: ndb.Client) -> None:
    key = Account().put()

    def count() -> None:
        with uncached(client):
            for _ in range(4):
                ndb.transaction(lambda: add(key, 1), retries=30)

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert key.get().balance == 12


@read_only_ends
def test_a_read_only_transaction_reads_and_never_writes() -> None:
    key = Account(balance=5).put()
    assert ndb.transaction(lambda: key.get().balance, read_only=True) == 5
    with pytest.raises(InvalidArgument):
        ndb.transaction(lambda: add(key, 1), read_only=True, retries=0)
    assert key.get().balance == 5


def test_in_transaction_tells_whether_one_is_open() -> None:
    assert not ndb.in_transaction()
    assert ndb.transaction(ndb.in_transaction)
    assert ndb.transaction(lambda: ndb.get_context().in_transaction())
    assert not ndb.get_context().in_transaction()


def test_a_function_is_made_transactional_and_joins_one_that_is_open() -> None:
    key = Account().put()

    @ndb.transactional()
    def add_one() -> None:
        assert ndb.in_transaction()
        add(key, 1)

    @ndb.transactional(retries=1)
    def add_one_and_fail() -> None:
        add_one()
        raise LookupError("on purpose")

    add_one()
    assert key.get().balance == 1
    with pytest.raises(LookupError):
        add_one_and_fail()
    assert key.get().balance == 1


def test_a_transaction_within_another_must_say_that_it_joins() -> None:
    key = Account().put()

    def outer(*, join: bool) -> None:
        ndb.transaction(lambda: add(key, 1), join=join)

    with pytest.raises(NotImplementedError):
        ndb.transaction(lambda: outer(join=False))
    ndb.transaction(lambda: outer(join=True))
    assert key.get().balance == 1


def test_the_async_forms_answer_with_a_future() -> None:
    key = Account().put()
    assert ndb.transaction_async(lambda: add(key, 1)).result() is None

    @ndb.transactional_async()
    def add_ten() -> str:
        add(key, 10)
        return "done"

    @ndb.transactional_tasklet()
    def add_hundred() -> Any:
        account = yield key.get_async()
        account.balance += 100
        yield account.put_async()
        return account.balance

    assert add_ten().result() == "done"
    assert add_hundred().result() == 111
    assert key.get().balance == 111


def test_a_tasklet_may_be_run_in_a_transaction() -> None:
    key = Account().put()

    @ndb.tasklet
    def add_one() -> Any:
        account = yield key.get_async()
        account.balance += 1
        yield account.put_async()

    ndb.transaction(add_one)
    assert key.get().balance == 1


def test_two_transactions_at_once_in_one_context() -> None:
    a, b = ndb.put_multi([Account(), Account()])

    @ndb.transactional_tasklet()
    def add_one(key: ndb.Key) -> Any:
        account = yield key.get_async()
        account.balance += 1
        yield account.put_async()

    ndb.wait_all([add_one(a), add_one(b)])
    assert (a.get().balance, b.get().balance) == (1, 1)


def test_non_transactional_steps_outside() -> None:
    key = Account().put()

    @ndb.non_transactional()
    def log() -> None:
        assert not ndb.in_transaction()
        Account(id="log").put()

    def work_and_fail() -> None:
        add(key, 1)
        log()
        assert ndb.in_transaction()
        raise LookupError("on purpose")

    with pytest.raises(LookupError):
        ndb.transaction(work_and_fail)
    assert Account.get_by_id("log") is not None
    assert key.get().balance == 0


def test_non_transactional_may_refuse_to_be_called_inside() -> None:
    @ndb.non_transactional(allow_existing=False)
    def never_inside() -> str:
        return "outside"

    assert never_inside() == "outside"
    with pytest.raises(exceptions.BadRequestError):
        ndb.transaction(never_inside)


def test_propagation_says_what_a_transaction_within_another_does() -> None:
    key = Account().put()

    def add_with(propagation: int) -> None:
        ndb.transaction(lambda: add(key, 1), propagation=propagation)

    with pytest.raises(exceptions.BadRequestError):
        add_with(ndb.TransactionOptions.NESTED)
    with pytest.raises(exceptions.BadRequestError):
        add_with(ndb.TransactionOptions.MANDATORY)


@pytest.mark.filterwarnings("default")
def test_a_mandatory_or_allowed_transaction_joins() -> None:
    key = Account().put()
    for propagation in (ndb.TransactionOptions.MANDATORY, ndb.TransactionOptions.ALLOWED):

        def add_one(propagation: int = propagation) -> None:
            ndb.transaction(lambda: add(key, 1), propagation=propagation)

        ndb.transaction(add_one)
    assert key.get().balance == 2


def test_an_independent_transaction_commits_though_the_outer_one_fails() -> None:
    key = Account().put()

    def fail_outside() -> None:
        ndb.transaction(lambda: add(key, 1), propagation=ndb.TransactionOptions.INDEPENDENT)
        raise LookupError("on purpose")

    with pytest.raises(LookupError):
        ndb.transaction(fail_outside)
    assert key.get().balance == 1


def test_callbacks_run_on_commit_and_only_then() -> None:
    called: list[str] = []

    def register() -> None:
        ndb.get_context().call_on_commit(lambda: called.append("committed"))
        ndb.get_context().call_on_transaction_complete(lambda: called.append("complete"))
        Account(id="new").put()
        assert called == []

    def register_and_fail() -> None:
        register()
        raise LookupError("on purpose")

    with pytest.raises(LookupError):
        ndb.transaction(register_and_fail)
    assert called == ["complete"]
    called.clear()
    ndb.transaction(register)
    assert called == ["committed", "complete"]


def test_callbacks_outside_a_transaction_run_at_once() -> None:
    called = []
    ndb.get_context().call_on_commit(lambda: called.append("committed"))
    ndb.get_context().call_on_transaction_complete(lambda: called.append("complete"))
    assert called == ["committed", "complete"]


def test_a_passing_fault_is_tried_again_and_every_other_is_raised() -> None:
    attempts = []

    def abort_twice() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise Aborted("on purpose")
        return "done"

    assert ndb.transaction(abort_twice) == "done"
    assert len(attempts) == 3

    def fail() -> None:
        attempts.append(1)
        raise LookupError("on purpose")

    attempts.clear()
    with pytest.raises(LookupError):
        ndb.transaction(fail)
    assert len(attempts) == 1
