"""Sessions in SQL with a copy in the cache, which may be out of reach. `SESSION_ENGINE` names this module.

Django's own `cached_db` answers 500 to whoever has a session while Redis is down. Here an outage is a
miss. What an outage kept from being deleted or replaced is believed for COPY_S at most, if Redis comes
back with it: so long may a session that was signed out meanwhile live on.
"""

import logging
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends import cached_db
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from apps.core.snapshots import NO_ANSWER

log = logging.getLogger(__name__)

COPY_S = 300


class Copies:
    """The part of a cache that sessions use, where no answer is a miss."""

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def get(self, key: str) -> Any:
        try:
            return self._cache.get(key)
        except NO_ANSWER as fault:
            return told("read", fault)

    def set(self, key: str, value: Any, seconds: float) -> None:
        try:
            self._cache.set(key, value, min(seconds, COPY_S))
        except NO_ANSWER as fault:
            told("kept", fault)

    def delete(self, key: str) -> None:
        try:
            self._cache.delete(key)
        except NO_ANSWER as fault:
            told("deleted", fault)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    async def aget(self, key: str) -> Any:
        try:
            return await self._cache.aget(key)
        except NO_ANSWER as fault:
            return told("read", fault)

    async def aset(self, key: str, value: Any, seconds: float) -> None:
        try:
            await self._cache.aset(key, value, min(seconds, COPY_S))
        except NO_ANSWER as fault:
            told("kept", fault)

    async def adelete(self, key: str) -> None:
        try:
            await self._cache.adelete(key)
        except NO_ANSWER as fault:
            told("deleted", fault)


def told(what: str, fault: BaseException) -> None:
    """Say that SQL has to do."""
    log.warning("The cache does not answer (%s): a session's copy was not %s", type(fault).__name__, what)


class SessionStore(cached_db.SessionStore):
    """What Django's session middleware makes for each request."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache: Any = Copies(caches[settings.SESSION_CACHE_ALIAS])
