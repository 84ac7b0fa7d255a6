"""Alive, ready, warm: /healthz, /readyz and /_ah/warmup; on Cloud Run /health, /ready and /warmup.

Cloud Run keeps /_ah/ and paths that end in z to itself (https://cloud.google.com/run/docs/known-issues), so
whatever asks from outside on both targets asks the latter.

Readiness asks every store at once, each in a thread of its own, under one deadline (seconds,
settings.READINESS_DEADLINE, default 2). The views are public, so they name the kind of a fault and no
more; the log has the rest.
"""

import asyncio
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from math import ceil
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.cache import cache
from django.db import connections
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.tasks import task_backends
from django.template import engines
from django.urls import get_resolver
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from google.api_core.exceptions import DeadlineExceeded
from google.cloud import ndb

from apps.appengine import ndb_context

logger = logging.getLogger(__name__)

WARMUP_DEADLINE = 20.0  # seconds: first connections fetch credentials too

type Check = dict[str, Any]
# Asks a store one question. Raises when it does not answer well; takes the seconds it may last.
type Probe = Callable[[float], None]


class ProbeMiddleware:
    """Answers Cloud Run's probes, /health (alive) and /warmup (started), before the host is looked at.

    They come from beside the process, as plain HTTP, under a host that is documented nowhere; one that is
    not in ALLOWED_HOSTS would be refused further in.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match request.path_info:
            case "/health":
                return healthz(request)
            case "/warmup":
                return async_to_sync(warmup)(request)
        return self.get_response(request)


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001  a view's signature
    """The process answers. Depends on nothing else: restarting it would not mend a store."""
    version = os.environ.get("GAE_VERSION") or os.environ.get("K_REVISION") or ""
    return JsonResponse({"status": "ok", "version": version})


@require_safe
@never_cache
async def readyz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001  a view's signature
    """200 when every store answers in time, else 503; either way with what each of them did."""
    checks = await ask_all(getattr(settings, "READINESS_DEADLINE", 2.0))
    ready = all(check["ok"] for check in checks.values())
    body = {"status": "ok" if ready else "unavailable", "checks": checks}
    return JsonResponse(body, status=200 if ready else 503)


@require_safe
@never_cache
async def warmup(request: HttpRequest) -> JsonResponse:  # noqa: ARG001  a view's signature
    """Open what the first request needs, as far as it goes. Always 200: App Engine does not ask again.

    url_patterns imports every view, engines.all() what templates need.
    """
    get_resolver().url_patterns  # noqa: B018  a property that works
    engines.all()
    return JsonResponse({"checks": await ask_all(WARMUP_DEADLINE)})


async def ask_all(deadline: float) -> dict[str, Check]:
    """Each store with its answer, after `deadline` seconds at most."""
    answers = await asyncio.gather(*(ask(name, probe, deadline) for name, probe in PROBES.items()))
    return dict(zip(PROBES, answers, strict=True))


async def ask(name: str, probe: Probe, deadline: float) -> Check:
    """One store's answer: {"ok": true, "ms": 1.2}, or {"ok": false, "ms": ..., "error": "..."}."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(deadline):
            # The client's own limit is longer: it only ends the thread of a store that hangs.
            await asyncio.wrap_future(start(name, probe, 2 * deadline))
        error = {}
    except (TimeoutError, DeadlineExceeded):
        error = {"error": f"no answer within {deadline:g} s"}
        logger.warning("Readiness: %s gave no answer within %s s", name, deadline)
    except Exception as fault:  # noqa: BLE001  a store may fail in any way; this is where it is told
        error = {"error": type(fault).__name__}
        logger.warning("Readiness: %s failed: %r", name, fault)
    return {"ok": not error, "ms": round((time.perf_counter() - started) * 1000, 1), **error}


# What each store is being asked at this moment. A store that hangs holds one thread, however often
# readiness is asked for, and others that ask meanwhile wait for the same answer.
_asking: dict[str, Future[None]] = {}
_lock = threading.Lock()
os.register_at_fork(after_in_child=_asking.clear)


def start(name: str, probe: Probe, limit: float) -> Future[None]:
    """Run the probe in a thread, unless one for this store still runs.

    Not asyncio.to_thread: the event loop of a WSGI request waits for those threads when it closes, and
    the interpreter does when it exits; these are daemons, and nobody waits.
    """
    with _lock:
        future = _asking.get(name)
        if future is None or future.done():
            future = _asking[name] = Future()
            future.set_running_or_notify_cancel()  # a caller that gives up cannot cancel it for the others
            threading.Thread(
                target=run, args=(future, probe, limit), name=f"probe-{name}", daemon=True
            ).start()
        return future


def run(future: Future[None], probe: Probe, limit: float) -> None:
    """The thread: the probe's end, good or bad, into the future."""
    try:
        probe(limit)
    except BaseException as fault:  # noqa: BLE001  whoever waits for the future raises it
        future.set_exception(fault)
    else:
        future.set_result(None)


def ask_sql(limit: float) -> None:
    """A new connection to the default database, closed again: requests keep their own."""
    connection = connections["default"].copy()
    if connection.vendor == "postgresql":
        # libpq waits for ever by default; it takes whole seconds, 2 at least.
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", ceil(max(limit, 2)))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def ask_datastore(limit: float) -> None:
    """Look up a key that does not exist."""
    with ndb_context.use():
        ndb.Key("Readiness", "probe").get(timeout=limit, retries=0)


def ask_cache(limit: float) -> None:  # noqa: ARG001  its own timeouts are in CACHES
    """Read back a value just written."""
    key = f"readiness:{secrets.token_hex(8)}"
    cache.set(key, key, timeout=10)
    if cache.get(key) != key:
        raise LookupError("the cache lost what it was just given")
    cache.delete(key)


def ask_queue(limit: float) -> None:
    """Get one of the queues. Needs `cloudtasks.queues.get`: roles/cloudtasks.viewer beside the enqueuer."""
    # Late: the client takes 0.4 s to import, which liveness need not pay.
    from apps.appengine.tasks import client, request  # noqa: PLC0415

    backend = task_backends["default"]
    path = request.queue_path(backend.options, min(backend.queues))
    client.client().get_queue(name=path, timeout=limit, retry=None)


PROBES: dict[str, Probe] = {
    "sql": ask_sql,
    "datastore": ask_datastore,
    "cache": ask_cache,
    "queue": ask_queue,
}
