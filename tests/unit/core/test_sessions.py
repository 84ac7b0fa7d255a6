from typing import Any

import pytest
from django.core.cache import cache

from apps.core.sessions import COPY_S, SessionStore

pytestmark = pytest.mark.django_db


@pytest.fixture
def session() -> SessionStore:
    """One that is in SQL and in the cache."""
    store = SessionStore()
    store["who"] = "somebody"
    store.save()
    return store


def reopened(session: SessionStore) -> SessionStore:
    return SessionStore(session.session_key)


@pytest.fixture
def outage(session: SessionStore, settings: Any) -> None:
    """Nobody listens where Redis was."""
    settings.CACHES = {
        "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    }


@pytest.mark.usefixtures("redis")
def test_a_session_is_read_from_its_copy(session: SessionStore, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert reopened(session)["who"] == "somebody"


@pytest.mark.usefixtures("redis")
def test_a_lost_copy_is_made_again_from_sql(session: SessionStore, django_assert_num_queries: Any) -> None:
    cache.clear()
    with django_assert_num_queries(1):
        assert reopened(session)["who"] == "somebody"
    with django_assert_num_queries(0):
        assert reopened(session)["who"] == "somebody"


@pytest.mark.usefixtures("redis")
def test_a_copy_that_an_outage_kept_from_being_deleted_ends_soon(session: SessionStore) -> None:
    assert 0 < cache.ttl(session.cache_key) <= COPY_S


@pytest.mark.usefixtures("outage")
def test_without_the_cache_sessions_are_read_and_written_in_sql(session: SessionStore) -> None:
    again = reopened(session)
    assert again["who"] == "somebody"
    again["who"] = "somebody else"
    again.save()
    assert reopened(session)["who"] == "somebody else"
    assert again.exists(again.session_key)


@pytest.mark.usefixtures("outage")
def test_without_the_cache_a_session_ends(session: SessionStore) -> None:
    session.flush()
    assert reopened(session).load() == {}
