"""An NDB context wherever code runs: requests, tasks, commands, shell, tests.

NDB needs a context per thread and refuses to nest them; its own Django middleware is a stub that
raises. `use()` opens one where there is none, so that any layer may ask for it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from google.cloud import ndb
from google.cloud.ndb import context as ndb_contexts

type Response = HttpResponseBase | Awaitable[HttpResponseBase]


@cache
def client() -> ndb.Client:
    """The process's only NDB client: made on first use, so after gunicorn's fork."""
    return ndb.Client(project=settings.PROJECT_ID)


os.register_at_fork(after_in_child=client.cache_clear)


@contextmanager
def use() -> Iterator[None]:
    """Run the block inside an NDB context, the one already open or a new one.

    NDB's own caches are off: a task may run twice at the same time in two processes, and an entity
    remembered by one of them would hide what the other wrote.
    """
    if ndb_contexts.get_context(False) is not None:
        yield
        return
    with client().context(cache_policy=False, global_cache_policy=False, legacy_data=False):
        yield


class NdbContextMiddleware:
    """Opens a context for each request. Async views open their own where they touch NDB, in a thread."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Response]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response:
        if asyncio.iscoroutinefunction(self.get_response):
            return self.get_response(request)
        with use():
            return self.get_response(request)
