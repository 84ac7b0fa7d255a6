"""Invariant 6: no stale read, in any interleaving of readers, writers and a Redis that forgets."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import make_dataclass
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.db import OperationalError, connection, transaction
from django.utils.functional import lazy
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import ApiKey, Organization
from apps.core import snapshots
from tests.unit.conftest import use_redis

pytestmark = [pytest.mark.django_db(transaction=True)]

type Loaded = tuple[str, str] | None


def load(key: ApiKey) -> Loaded:
    """What a snapshot is made of: the generation and a value, the key's name, in one statement."""
    return ApiKey.objects.filter(pk=key.pk).values_list("generation", "name").first()


def read(key: ApiKey) -> str | None:
    return snapshots.read(ApiKey(pk=key.pk), lambda: load(key), shape="name")


def rename(key: ApiKey, name: str) -> None:
    with snapshots.change(ApiKey(pk=key.pk)):
        ApiKey.objects.filter(pk=key.pk).update(name=name)


@pytest.fixture
def key() -> ApiKey:
    return ApiKey.issue(Organization.objects.create(name="Acme"), "old")[0]


@pytest.mark.usefixtures("redis")
def test_a_warm_read_asks_sql_nothing(key: ApiKey, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    assert read(key) == "old"
    with django_assert_num_queries(0):
        assert read(key) == "old"


@pytest.mark.usefixtures("redis")
def test_a_snapshot_is_filled_again_after_a_change(
    key: ApiKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    read(key)
    rename(key, "new")
    with django_assert_num_queries(1):
        assert read(key) == "new"
    with django_assert_num_queries(0):
        assert read(key) == "new"


@pytest.mark.usefixtures("redis")
def test_a_row_that_is_gone_is_none_and_leaves_no_snapshot(key: ApiKey) -> None:
    read(key)
    with snapshots.change(key):
        ApiKey.objects.filter(pk=key.pk).delete()
    assert read(key) is None
    assert read(key) is None


@pytest.mark.usefixtures("redis")
def test_releases_with_different_shapes_share_the_generation_but_no_snapshot(
    key: ApiKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def other_release() -> Any:
        return snapshots.read(ApiKey(pk=key.pk), lambda: (load(key)[0], {"name": load(key)[1]}), shape="dict")

    for _ in "ab":  # filled by each in turn, and not overwritten
        assert read(key) == "old"
        assert other_release() == {"name": "old"}
    with django_assert_num_queries(0):
        assert (read(key), other_release()) == ("old", {"name": "old"})
    rename(key, "new")  # by either: both see it
    assert (read(key), other_release()) == ("new", {"name": "new"})


def test_a_shape_has_another_name_as_soon_as_a_field_is_another() -> None:
    def shape(**fields: Any) -> str:
        return snapshots.shape_of(make_dataclass("Row", fields.items()))

    plain = shape(id=str, uid=str)
    assert plain == shape(id=str, uid=str)
    assert len({plain, shape(id=str), shape(id=str, uid=str | None), shape(id=str, name=str)}) == 4


@pytest.mark.usefixtures("redis")
def test_what_redis_holds_is_plain_json_that_expires(key: ApiKey) -> None:
    read(key)
    client = caches["default"].client.get_client()
    kept = {name: client.get(name) for name in client.scan_iter()}
    assert sorted(map(str, map(json.loads, kept.values()))) == sorted(
        [load(key)[0], str({"generation": load(key)[0], "value": "old"})]
    )
    assert all(0 < client.ttl(name) <= snapshots.GENERATION_S for name in kept)


@pytest.mark.usefixtures("redis")
def test_a_change_that_fails_is_rolled_back_and_never_read(key: ApiKey) -> None:
    read(key)
    with suppress(ZeroDivisionError), snapshots.change(key):
        ApiKey.objects.filter(pk=key.pk).update(name="never")
        raise ZeroDivisionError
    assert read(key) == "old"
    rename(key, "new")
    assert (read(key), read(key)) == ("new", "new")


@pytest.mark.usefixtures("redis")
def test_what_a_writer_reads_before_its_commit_is_no_snapshot(key: ApiKey) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        with snapshots.change(key):
            assert read(key) == "old"
            ApiKey.objects.filter(pk=key.pk).update(name="never")
            assert read(key) == "never"
        assert read(key) == "never"
        raise ZeroDivisionError
    assert (read(key), read(key)) == ("old", "old")


@pytest.mark.usefixtures("redis")
def test_after_two_changes_only_the_last_is_read(key: ApiKey) -> None:
    """The reader loads before both, and fills after them."""

    def slow_load() -> Loaded:
        loaded = load(key)
        rename(key, "newer")
        rename(key, "newest")
        return loaded

    assert snapshots.read(key, slow_load, shape="name") == "old"
    assert (read(key), read(key)) == ("newest", "newest")


def test_without_redis_every_read_is_sql(
    key: ApiKey, settings: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.REDIS_HOST = ""
    for name in ("a", "b"):
        rename(key, name)
        with django_assert_num_queries(1):
            assert read(key) == name


@pytest.fixture(params=["refuses", "hangs"])
def broken_redis(request: pytest.FixtureRequest, settings: Any) -> Iterator[None]:
    """A Redis that is configured: nobody listens there, or somebody who never answers."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "hangs":
            listener.listen(10)
        use_redis(settings, listener.getsockname()[1])
        settings.CACHES["default"]["OPTIONS"] |= {"SOCKET_TIMEOUT": 0.1, "SOCKET_CONNECT_TIMEOUT": 0.1}
        yield
        cache.close()
        use_redis(settings, 1)


@pytest.mark.usefixtures("broken_redis")
def test_with_redis_out_of_reach_changes_are_refused_and_reads_go_to_sql(key: ApiKey) -> None:
    before = load(key)
    with pytest.raises(snapshots.Unavailable), snapshots.change(ApiKey(pk=key.pk)):
        pytest.fail("the change is not even begun")
    assert load(key) == before
    assert read(key) == "old"


@pytest.mark.usefixtures("broken_redis")
def test_with_redis_out_of_reach_hints_are_forgotten() -> None:
    snapshots.remember("a", "b")
    assert snapshots.hint("a") is None


@pytest.mark.usefixtures("redis")
def test_a_hint_is_kept_for_a_while() -> None:
    assert snapshots.hint("a") is None
    snapshots.remember("a", "b")
    assert snapshots.hint("a") == "b"


def test_without_redis_no_hint_is_kept(settings: Any) -> None:
    settings.REDIS_HOST = ""
    snapshots.remember("a", "b")
    assert snapshots.hint("a") is None


class Actor:
    """A thread that makes one step each time it is told to; `pause` marks where steps end."""

    def __init__(self, work: Callable[["Actor"], None]) -> None:
        self.fault: BaseException | None = None
        self._told, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._done = False
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Let it go on to its next pause, or to its end."""
        if not self._done:
            self._told.release()
            assert self._paused.acquire(timeout=20), "the step does not end"

    def finish(self) -> None:
        while not self._done:
            self.step()
        self._thread.join()
        if self.fault:
            raise self.fault

    def pause(self) -> None:
        self._paused.release()
        self._told.acquire()

    def _run(self, work: Callable[["Actor"], None]) -> None:
        self._told.acquire()
        try:
            work(self)
        except BaseException as fault:  # noqa: BLE001  handed over to the test
            self.fault = fault
        finally:
            if connection.connection:  # its own close() leaves SQLite in memory open
                connection.connection.close()
            self._done = True
            self._paused.release()


def reader(key: ApiKey) -> Actor:
    """Steps: ask Redis; load; tell Redis the generation if need be; fill."""

    def work(actor: Actor) -> None:
        def load_slowly() -> Loaded:
            actor.pause()
            loaded = load(key)
            actor.pause()
            return loaded and (loaded[0], lazy(fill_slowly, str)(loaded[1]))

        def fill_slowly(name: str) -> str:
            """Called when the value is written for Redis."""
            actor.pause()
            return name

        # SQLite in memory knows no reading beside an open write: the reader fails and keeps nothing.
        with suppress(OperationalError):
            snapshots.read(ApiKey(pk=key.pk), load_slowly, shape="name")

    return Actor(work)


def writer(key: ApiKey, name: str, *, rolls_back: bool = False) -> Actor:
    """Steps: take the row's lock and tell Redis; write and commit, or roll back."""

    def work(actor: Actor) -> None:
        with suppress(ZeroDivisionError), snapshots.change(ApiKey(pk=key.pk)):
            actor.pause()
            ApiKey.objects.filter(pk=key.pk).update(name=name)
            if rolls_back:
                raise ZeroDivisionError

    return Actor(work)


def schedules(**steps: int) -> Iterator[str]:
    """All orders of the steps of several actors, each named by a letter."""
    if not any(steps.values()):
        yield ""
    for letter in [letter for letter, count in steps.items() if count]:
        for rest in schedules(**{**steps, letter: steps[letter] - 1}):
            yield letter + rest


def play(schedule: str, actors: dict[str, Actor]) -> None:
    for letter in schedule:
        if letter == "F":
            cache.clear()
        else:
            actors[letter].step()
    for actor in actors.values():
        actor.finish()


def read_is_never_stale(key: ApiKey, schedule: str, actors: dict[str, Actor], expected: str) -> None:
    """Whoever reads after that order of steps sees what SQL holds, the first time and from the snapshot."""
    play(schedule, actors)
    assert (read(key), read(key)) == (expected, expected), schedule


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("rolls_back", [True, False], ids=["rolled back", "committed"])
def test_invariant_6_no_stale_read_whatever_the_order_of_a_writers_and_a_readers_steps(
    key: ApiKey, rolls_back: bool, warm: bool
) -> None:
    for number, schedule in enumerate(schedules(R=4, W=2)):
        if warm:
            read(key)
        else:
            cache.clear()
        actors = {"R": reader(key), "W": writer(key, str(number), rolls_back=rolls_back)}
        read_is_never_stale(key, schedule, actors, "old" if rolls_back else str(number))


@pytest.mark.usefixtures("redis")
def test_invariant_6_no_stale_read_when_redis_forgets_everything_at_any_moment(key: ApiKey) -> None:
    for number, schedule in enumerate(schedules(R=4, W=2, F=1)):
        cache.clear()
        read_is_never_stale(key, schedule, {"R": reader(key), "W": writer(key, str(number))}, str(number))


@pytest.mark.usefixtures("redis")
def test_invariant_6_no_stale_read_beside_two_writers(key: ApiKey) -> None:
    """The second writer begins after the first one's commit: the row's lock makes it wait until then."""
    for number, schedule in enumerate(schedules(R=4, W=4)):
        cache.clear()
        first, second = writer(key, "never"), writer(key, str(number))
        order = schedule.replace("W", "V").replace("V", "W", 2)
        read_is_never_stale(key, order, {"R": reader(key), "W": first, "V": second}, str(number))
