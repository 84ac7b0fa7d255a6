# mypy: allow-subclassing-any
"""ndb.Context: what NDB remembers between calls, and what it shares with other processes."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from google.cloud import ndb
from google.cloud.ndb import exceptions

from tests.functional.ndb.stores import uncached


class Page(ndb.Model):
    text = ndb.StringProperty()


def change(client: ndb.Client, key: ndb.Key, text: str) -> None:
    """As another process would: with a context, and so a cache, of its own."""
    with client.context():
        Page(key=key, text=text).put()


class Dictionary(ndb.GlobalCache):
    """A cache shared by contexts: a dictionary that writes down how long each value may be kept."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.expires: list[float | None] = []
        self.watched: dict[bytes, bytes | None] = {}

    def get(self, keys: Iterable[bytes]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    def set(self, items: dict[bytes, bytes], expires: float | None = None) -> None:
        self.expires.append(expires)
        self.values.update(items)

    def set_if_not_exists(self, items: dict[bytes, bytes], **_: float | None) -> dict[bytes, bool]:
        new = {key: key not in self.values for key in items}
        self.values.update({key: value for key, value in items.items() if new[key]})
        return new

    def delete(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.values.pop(key, None)

    def watch(self, items: dict[bytes, bytes]) -> None:
        self.watched.update(items)

    def unwatch(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.watched.pop(key, None)

    def compare_and_swap(self, items: dict[bytes, bytes], expires: float | None = None) -> dict[bytes, bool]:
        same = {key: self.values.get(key) == self.watched.pop(key, None) for key in items}
        self.set({key: value for key, value in items.items() if same[key]}, expires)
        return same

    def clear(self) -> None:
        self.values.clear()


@pytest.fixture
def key(client: ndb.Client) -> ndb.Key:
    """Of a page in the Datastore whose text is `stored`."""
    with client.context():
        return Page(id="page", text="stored").put()


def test_ndb_needs_a_context_and_refuses_a_second(client: ndb.Client) -> None:
    with pytest.raises(exceptions.ContextError):
        Page(text="a").put()
    with client.context(), pytest.raises(RuntimeError), client.context():
        pass


def test_the_open_context_is_at_hand(client: ndb.Client) -> None:
    with client.context() as context:
        assert isinstance(context, ndb.Context)
        assert ndb.get_context() is ndb.get_toplevel_context() is context
        assert not context.in_retry()
        inside = ndb.transaction(lambda: (ndb.get_context(), ndb.get_toplevel_context()))
        assert inside[0] is not context
        assert inside[1] is context


def test_a_context_remembers_what_it_read_and_wrote(client: ndb.Client, key: ndb.Key) -> None:
    with client.context():
        page = key.get()
        assert key.get() is page
        page.text = "changed, not put"
        assert Page.query().get() is page
        written = Page(text="new")
        assert written.put().get() is written


def test_a_context_remembers_what_it_deleted(client: ndb.Client, key: ndb.Key) -> None:
    with client.context():
        key.delete()
        assert key.get() is None
        assert Page.query().fetch() == []


def test_a_cleared_cache_forgets(client: ndb.Client, key: ndb.Key) -> None:
    with client.context() as context:
        page = key.get()
        context.clear_cache()
        assert key.get() is not page
        assert key.get().text == "stored"


def test_two_contexts_remember_nothing_of_each_other(client: ndb.Client, key: ndb.Key) -> None:
    with client.context():
        first = key.get()
    change(client, key, "changed")
    with client.context():
        assert key.get() is not first
        assert key.get().text == "changed"


@pytest.mark.parametrize(("policy", "same"), [(None, True), (True, True), (False, False)])
def test_a_cache_policy_says_whether_to_remember(
    client: ndb.Client, key: ndb.Key, policy: bool | None, same: bool
) -> None:
    with client.context(cache_policy=policy) as context:
        assert (key.get() is key.get()) is same
        context.set_cache_policy(policy)
        assert (key.get() is key.get()) is same


def test_a_cache_policy_may_ask_for_the_key(client: ndb.Client, key: ndb.Key) -> None:
    def not_pages(asked: ndb.Key) -> bool:
        return bool(asked.kind() != "Page")

    with client.context(cache_policy=not_pages) as context:
        assert key.get() is not key.get()
        assert context.get_cache_policy() is not_pages


def test_a_model_may_say_whether_it_is_remembered(client: ndb.Client) -> None:
    class Volatile(ndb.Model):
        _use_cache = False

    with client.context():
        key = Volatile().put()
        assert key.get() is not key.get()


def test_a_transaction_sees_what_it_wrote_through_the_context_s_cache(
    client: ndb.Client, key: ndb.Key
) -> None:
    def write_and_read() -> str:
        Page(key=key, text="written").put()
        return str(key.get().text)

    with client.context():
        assert ndb.transaction(write_and_read) == "written"


def test_a_rolled_back_transaction_leaves_nothing_in_the_cache(client: ndb.Client, key: ndb.Key) -> None:
    def write_and_fail() -> None:
        Page(key=key, text="written").put()
        raise LookupError("on purpose")

    with client.context():
        with pytest.raises(LookupError):
            ndb.transaction(write_and_fail)
        assert key.get().text == "stored"


def test_leaving_a_context_finishes_what_nobody_waited_for(client: ndb.Client) -> None:
    with client.context():
        key = ndb.Key(Page, "later")
        Page(key=key, text="later").put_async()
    with client.context():
        assert key.get().text == "later"


def test_flush_sends_what_waits_to_be_sent(client: ndb.Client) -> None:
    with uncached(client) as context:
        future = Page(id="later", text="later").put_async()
        assert not future.done()
        context.flush()
        assert future.done()


def test_a_context_may_be_derived_from_another(client: ndb.Client, key: ndb.Key) -> None:
    with client.context() as context, context.new(namespace="other").use() as inner:
        assert inner.get_namespace() == "other"
        assert ndb.Key(Page, "page").get() is None
        assert key.get().text == "stored"


def test_a_global_cache_answers_before_the_datastore(client: ndb.Client, key: ndb.Key) -> None:
    cache = Dictionary()
    with client.context(global_cache=cache, cache_policy=False):
        assert key.get().text == "stored"
    change(client, key, "changed behind its back")
    with client.context(global_cache=cache, cache_policy=False):
        assert key.get().text == "stored"
        assert key.get(use_global_cache=False).text == "changed behind its back"
        cache.clear()
        assert key.get().text == "changed behind its back"


def test_a_put_and_a_delete_make_the_global_cache_forget(client: ndb.Client, key: ndb.Key) -> None:
    cache = Dictionary()
    with client.context(global_cache=cache, cache_policy=False):
        page = key.get()
        page.text = "changed"
        page.put()
        assert key.get().text == "changed"
        key.delete()
        assert key.get() is None


def test_a_transaction_goes_past_the_global_cache_and_makes_it_forget(
    client: ndb.Client, key: ndb.Key
) -> None:
    cache = Dictionary()
    with client.context(global_cache=cache, cache_policy=False):
        key.get()

        def write() -> None:
            page = key.get()
            page.text = "changed"
            page.put()

        ndb.transaction(write)
        assert key.get().text == "changed"


@pytest.mark.parametrize("policy", [False, lambda key: key.kind != "Page"])
def test_a_global_cache_policy_says_what_is_shared(client: ndb.Client, key: ndb.Key, policy: Any) -> None:
    cache = Dictionary()
    with client.context(global_cache=cache, global_cache_policy=policy, cache_policy=False) as context:
        assert key.get().text == "stored"
        assert not cache.values
        context.set_global_cache_policy(True)
        assert context.get_global_cache_policy()(key)
        assert key.get().text == "stored"
        assert cache.values


def test_a_global_cache_timeout_policy_says_for_how_long(client: ndb.Client, key: ndb.Key) -> None:
    cache = Dictionary()
    options = {"global_cache": cache, "cache_policy": False}
    with client.context(**options, global_cache_timeout_policy=lambda _: 30) as context:
        key.get()
        context.set_global_cache_timeout_policy(60)
        assert context.get_global_cache_timeout_policy()(key) == 60
        cache.clear()
        key.get()
        cache.clear()
        key.get(global_cache_timeout=90)
    assert [expires for expires in cache.expires if expires] == [30, 60, 90]


def test_the_first_runtime_s_names_for_the_global_cache_still_work(client: ndb.Client, key: ndb.Key) -> None:
    cache = Dictionary()
    with client.context(global_cache=cache, cache_policy=False) as context:
        context.set_memcache_policy(False)
        assert not context.get_memcache_policy()(key)
        key.get()
        assert not cache.values
        context.set_memcache_timeout_policy(60)
        assert context.get_memcache_timeout_policy()(key) == 60
        key.get(use_memcache=True, memcache_timeout=30)
        assert cache.values


def test_without_the_datastore_an_entity_lives_in_the_global_cache_alone(client: ndb.Client) -> None:
    cache = Dictionary()
    with client.context(global_cache=cache, cache_policy=False):
        key = Page(id="fleeting", text="here").put(use_datastore=False)
        assert key.get(use_datastore=False).text == "here"
        assert key.get(use_global_cache=False) is None
        key.delete(use_datastore=False)
        assert key.get() is None


def test_a_datastore_policy_says_what_is_stored(client: ndb.Client) -> None:
    with client.context(global_cache=Dictionary(), cache_policy=False) as context:
        context.set_datastore_policy(False)
        key = Page(id="fleeting", text="here").put()
        assert key.get().text == "here"
        context.set_datastore_policy(True)
        assert key.get(use_global_cache=False) is None


def test_neither_cache_nor_datastore_is_refused(client: ndb.Client, key: ndb.Key) -> None:
    with client.context(cache_policy=False), pytest.raises(TypeError):
        key.get(use_datastore=False, use_global_cache=False)


GONE: list[Callable[[ndb.Context], Any]] = [
    ndb.Context.memcache_add,
    ndb.Context.memcache_cas,
    ndb.Context.memcache_decr,
    ndb.Context.memcache_delete,
    ndb.Context.memcache_get,
    ndb.Context.memcache_gets,
    ndb.Context.memcache_incr,
    ndb.Context.memcache_replace,
    ndb.Context.memcache_set,
    ndb.Context.urlfetch,
]


@pytest.mark.parametrize("method", GONE, ids=lambda method: method.__name__)
def test_what_only_the_first_runtime_had_is_refused(
    client: ndb.Client, method: Callable[[ndb.Context], Any]
) -> None:
    with client.context() as context, pytest.raises(NotImplementedError):
        method(context)
