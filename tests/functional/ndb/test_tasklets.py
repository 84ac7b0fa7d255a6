# mypy: allow-subclassing-any, allow-untyped-decorators, allow-untyped-calls
"""Tasklets and futures: work of one thread that waits for the Datastore together."""

import time
from typing import Any

import pytest
from google.cloud import ndb
from google.cloud.ndb import exceptions

pytestmark = pytest.mark.usefixtures("context")


class Note(ndb.Model):
    text = ndb.StringProperty()


@ndb.tasklet
def text_of(key: ndb.Key) -> Any:
    note = yield key.get_async()
    return note.text


def test_a_tasklet_answers_with_a_future_of_what_it_returns() -> None:
    future = text_of(Note(text="a").put())
    assert isinstance(future, ndb.Future)
    assert future.result() == future.get_result() == "a"
    assert future.done()
    assert not future.running()


def test_a_tasklet_waits_for_several_at_once() -> None:
    keys = ndb.put_multi([Note(text=text) for text in "abc"])

    @ndb.tasklet
    def texts() -> Any:
        first, (second, third) = yield text_of(keys[0]), [text_of(keys[1]), keys[2].get_async()]
        return first + second + third.text

    assert texts().result() == "abc"


def test_a_tasklet_may_return_by_raising_return() -> None:
    @ndb.tasklet
    def put() -> Any:
        key = yield Note(text="a").put_async()
        raise ndb.Return(key)

    assert put().result().get().text == "a"


def test_a_function_that_waits_for_nothing_may_be_a_tasklet() -> None:
    @ndb.tasklet
    def plain() -> Any:
        return Note(text="a").put().get().text

    assert plain().result() == "a"


def test_a_synctasklet_answers_with_the_result_itself() -> None:
    @ndb.synctasklet
    def text() -> Any:
        key = yield Note(text="a").put_async()
        note = yield key.get_async()
        return note.text

    assert text() == "a"


def test_toplevel_finishes_what_nobody_waited_for() -> None:
    @ndb.toplevel
    def put_and_leave() -> None:
        Note(id="left", text="a").put_async()

    put_and_leave()
    assert Note.get_by_id("left").text == "a"


def test_an_exception_reaches_who_waits() -> None:
    @ndb.tasklet
    def fail() -> Any:
        yield Note(text="a").put_async()
        raise LookupError("on purpose")

    @ndb.tasklet
    def wait() -> Any:
        try:
            yield fail()
        except LookupError as error:
            return str(error)

    assert wait().result() == "on purpose"
    future = fail()
    with pytest.raises(LookupError):
        future.check_success()
    assert isinstance(future.exception(), LookupError)
    assert isinstance(future.get_exception(), LookupError)
    assert future.get_traceback() is not None


def test_wait_any_answers_with_the_first_that_is_done() -> None:
    slow, quick = ndb.Future("never done"), Note(text="a").put_async()
    assert ndb.wait_any([slow, quick]) is quick
    assert ndb.Future.wait_any([slow, quick]) is quick
    assert slow.running()


def test_wait_all_waits_for_every_one() -> None:
    futures = [Note(text=text).put_async() for text in "abc"]
    ndb.wait_all(futures)
    assert all(future.done() for future in futures)
    ndb.Future.wait_all(futures)
    assert Note.query().count() == 3


def test_sleep_lets_other_work_go_on() -> None:
    done = []

    @ndb.tasklet
    def sleep_first() -> Any:
        yield ndb.sleep(0.05)
        done.append("slept")

    @ndb.tasklet
    def put() -> Any:
        for _ in range(2):
            yield Note().put_async()
        done.append("put")

    started = time.monotonic()
    ndb.wait_all([sleep_first(), put()])
    assert time.monotonic() - started >= 0.05
    assert set(done) == {"slept", "put"}


def test_a_cancelled_future_raises_cancelled() -> None:
    future = ndb.Future("never done")
    future.cancel()
    assert future.cancelled()
    with pytest.raises(exceptions.Cancelled):
        future.result()


def test_a_callback_is_called_when_a_future_is_done() -> None:
    called = []
    future = Note(text="a").put_async()
    future.add_done_callback(lambda done: called.append(done.result()))
    future.wait()
    future.add_done_callback(lambda _: called.append("at once"))
    assert called == [future.result(), "at once"]


def test_a_future_of_one_s_own_is_waited_for_like_any_other() -> None:
    mine = ndb.Future("mine")

    @ndb.tasklet
    def wait() -> Any:
        key = yield mine
        note = yield key.get_async()
        return note.text

    waiting = wait()
    mine.set_result(Note(text="a").put())
    assert waiting.result() == "a"
    failed = ndb.Future()
    failed.set_exception(LookupError("on purpose"))
    with pytest.raises(LookupError):
        failed.result()


def test_a_query_is_read_within_a_tasklet() -> None:
    ndb.put_multi([Note(text=text) for text in "abc"])

    @ndb.tasklet
    def texts() -> Any:
        found, results = [], Note.query().order(Note.text).iter()
        while (yield results.has_next_async()):
            found.append(results.next().text)
        return found

    assert texts().result() == ["a", "b", "c"]


def test_a_tasklet_that_yields_what_is_no_future_is_told_so() -> None:
    @ndb.tasklet
    def wrong() -> Any:
        yield 5

    with pytest.raises(RuntimeError, match="illegal value"):
        wrong()
