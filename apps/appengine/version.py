"""Whether this code runs for a caller who asked for this very version of the service.

App Engine gives each version a host of its own, beside the service's, which leads to the version that
takes traffic. Who calls the version's own host (a smoke test before the traffic moves) wants its tasks
to stay in it; anybody else's outlive the version. Cloud Tasks and cron count by the same rule: a task
sent to a version arrives under that version's host, so what follows from it stays there too.

The answer lives in a context variable, as the trace does: coroutines inherit it, and so does a thread
started through asyncio.to_thread, asgiref's sync_to_async or contextvars.copy_context().run. Outside a
request (a command, the shell) nobody asked for a version.
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

_pinned: ContextVar[bool] = ContextVar("pinned to this version", default=False)


def pinned() -> str:
    """The version that tasks enqueued here must stay in; empty for whichever takes traffic when they run."""
    return os.environ.get("GAE_VERSION", "") if _pinned.get() else ""


def is_own_host(host: str) -> bool:
    """Whether a Host header names this version: `VERSION-dot-SERVICE-dot-PROJECT...`, SERVICE or not.

    Cloud Tasks documents dots between the parts, people write -dot-. Another service, or an instance of
    manual scaling, does not count.
    https://cloud.google.com/appengine/docs/standard/how-requests-are-routed
    https://cloud.google.com/tasks/docs/reference/rest/v2/AppEngineRouting
    """
    version = os.environ.get("GAE_VERSION", "").lower()
    return bool(version) and host.lower().replace("-dot-", ".").startswith(f"{version}.")


@contextmanager
def activate(host: str) -> Iterator[None]:
    """Run the block for a caller who asked for `host`."""
    token = _pinned.set(is_own_host(host))
    try:
        yield
    finally:
        _pinned.reset(token)


class VersionMiddleware:
    """Run each request for the host it asked for."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.answer(request)
        # Not get_host(): it refuses hosts that are not allowed, which is for the view to say.
        with activate(request.headers.get("Host", "")):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def answer(self, request: HttpRequest) -> HttpResponseBase:
        """What __call__ does, where the next middleware is a coroutine function."""
        with activate(request.headers.get("Host", "")):
            response: HttpResponseBase = await self.get_response(request)
            return response
