"""How much comes at once, and whether what is behind can take it: the figures of app.yaml and queue.yaml."""

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution

from apps.appengine.app_yaml import AppYaml

from . import files, tasks
from .files import on_app_engine
from .server import Gunicorn, readable

# PostgreSQL keeps 3 for superusers; a migration, readiness probes, a proxy and somebody with psql need more.
RESERVED_CONNECTIONS = 10
# What the smallest Cloud SQL instance allows: https://cloud.google.com/sql/docs/postgres/quotas
SMALLEST_CLOUD_SQL = 25
ROOM_FOR_PEOPLE = 0.1  # of what the instances work on at once
SHORTEST_TASK_S = 0.02  # one read and one write of the Datastore


@on_app_engine
def check_connections(app: AppYaml) -> Iterator[CheckMessage]:
    """E060, E061: all threads of all instances find a database connection."""
    server = readable(app)
    if server is None or settings.DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
        return
    allowed = getattr(settings, "DB_MAX_CONNECTIONS", SMALLEST_CLOUD_SQL)
    most = max((allowed - RESERVED_CONNECTIONS) // server.requests, 0)
    cure = (
        f"Set {app.scaling.kind}.max_instances to {most}"
        if most
        else f"Lower --threads to {max(allowed - RESERVED_CONNECTIONS, 1)}"
    )
    reserve = f"{RESERVED_CONNECTIONS} are kept for migrations, readiness and administration"
    instances = app.scaling.max_instances
    if instances is None:
        yield Error(
            f"{app.name}: {app.scaling.kind}.max_instances is missing: under load instances open more "
            f"connections than the database allows ({allowed}). {cure}.",
            hint=f"{server.workers} x {server.threads} connections an instance; {reserve}.",
            id="appengine.E061",
        )
    elif (needed := instances * server.requests) + RESERVED_CONNECTIONS > allowed:
        yield Error(
            f"{app.name}: {instances} instances x {server.workers} workers x {server.threads} threads may "
            f"open {needed} database connections; the database allows {allowed} (DB_MAX_CONNECTIONS), of "
            f"which {reserve}. {cure}, or raise max_connections of the database and DB_MAX_CONNECTIONS.",
            hint=f"{needed} + {RESERVED_CONNECTIONS} > {allowed}. While a deploy replaces a version both "
            "hold connections.",
            id="appengine.E060",
        )


@on_app_engine
def check_threads(app: AppYaml) -> Iterator[CheckMessage]:
    """E062, W063: App Engine sends an instance as many requests at once as it has threads, about."""
    server, sent = readable(app), app.scaling.max_concurrent_requests
    if server is None or app.scaling.kind != "automatic_scaling":
        return
    threads = f"{server.workers} x {server.threads} threads"
    if sent > server.requests:
        yield Error(
            f"{app.name}: max_concurrent_requests is {sent}, and gunicorn has {threads}: the rest waits "
            f"inside the instance, health checks too. Write {max(server.requests - 1, 1)}, or raise "
            "--threads.",
            hint=f"{sent} > {server.requests}",
            id="appengine.E062",
        )
    elif sent <= server.requests // 2:
        yield Caution(
            f"{app.name}: max_concurrent_requests is {sent} (10 where it is absent), and gunicorn has "
            f"{threads}: instances are started while threads are idle. Write {max(server.requests - 1, 1)}, "
            "or lower --threads.",
            hint=f"{server.requests - sent} threads of {server.requests} never get a request.",
            id="appengine.W063",
        )


@on_app_engine
def check_instances(app: AppYaml) -> Iterator[CheckMessage]:
    """E067: the least number of instances is not above the largest."""
    scaling = app.scaling
    for name in ("min_instances", "min_idle_instances"):
        least = getattr(scaling, name)
        if scaling.max_instances is not None and least > scaling.max_instances:
            yield Error(
                f"{app.name}: {name} is {least}, max_instances {scaling.max_instances}. Lower the first or "
                "raise the second.",
                id="appengine.E067",
            )


@on_app_engine
def check_queues_fit(app: AppYaml) -> Iterator[CheckMessage]:
    """E064, W066: a backlog of tasks leaves threads for people, and the rates can be reached."""
    server, instances = readable(app), app.scaling.max_instances
    used = set().union(*(backend.queues for backend in tasks.backends()))
    queues = [queue for name, queue in files.queues().items() if name in used]
    if server is None or instances is None or not queues:
        return
    capacity = instances * _at_once(app, server)
    most = int(capacity * (1 - ROOM_FOR_PEOPLE))
    tasks_at_once = sum(queue.max_concurrent_requests for queue in queues)
    if tasks_at_once > most:
        parts = " + ".join(f"{queue.max_concurrent_requests} ({queue.name})" for queue in queues)
        yield Error(
            f"queue.yaml: max_concurrent_requests add up to {tasks_at_once}, and {app.name} lets {instances} "
            f"instances work on {capacity} requests at once: a backlog of tasks would keep people waiting. "
            f"Lower them to {most} together, or raise max_instances.",
            hint=f"{parts} > {capacity} less a tenth for people. 1000 is the default of a queue.",
            id="appengine.E064",
        )
    rate, possible = sum(queue.rate for queue in queues), capacity / SHORTEST_TASK_S
    if rate > possible:
        yield Caution(
            f"queue.yaml: rates add up to {rate:g}/s, and {app.name} allows {capacity} requests at once: at "
            f"most {possible:g}/s of the shortest tasks. Lower the rates, or raise --threads or "
            "max_instances.",
            hint=f"{capacity} / {SHORTEST_TASK_S} s = {possible:g}/s",
            id="appengine.W066",
        )


def _at_once(app: AppYaml, server: Gunicorn) -> int:
    """The requests that one instance works on at once."""
    if app.scaling.kind != "automatic_scaling":
        return server.requests
    return min(server.requests, app.scaling.max_concurrent_requests)
