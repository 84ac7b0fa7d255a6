"""The entrypoint of app.yaml: gunicorn's options, read by gunicorn's own parser."""

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import PurePath

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution

from apps.appengine.app_yaml import AppYaml

from .files import on_app_engine, path_of

APPLICATION = "main:app"
PORTS = {":$PORT", ":${PORT}", "0.0.0.0:$PORT", "[::]:$PORT"}
# https://cloud.google.com/appengine/docs/standard#instance_classes, in MB
MEMORY = {"F1": 384, "F2": 768, "F4": 1536, "F4_1G": 3072, "B1": 384, "B2": 768, "B4": 1536, "B4_1G": 3072}
WORKER_MB = 190  # measured: one process of this project with every view imported


@dataclass(frozen=True)
class Gunicorn:
    """What gunicorn is told, with its own defaults for the rest. Times are seconds."""

    application: str
    workers: int
    threads: int
    timeout: int
    preload: bool
    bind: tuple[str, ...]

    @property
    def requests(self) -> int:
        """How many an instance works on at once; each may hold a database connection."""
        return self.workers * self.threads


def gunicorn(app: AppYaml) -> Gunicorn:
    """Raises ValueError where the entrypoint is no gunicorn, or gunicorn refuses its options."""
    program, *words = app.entrypoint
    if PurePath(program).name != "gunicorn":
        raise ValueError(f"it starts {program}, not gunicorn")
    # Late: the server itself never runs a check, and commands need no gunicorn.
    from gunicorn.config import Config  # noqa: PLC0415

    refusal = io.StringIO()
    try:
        with redirect_stderr(refusal):
            given = (
                Config()
                .parser()
                .parse_args([*shlex.split(app.env_variables.get("GUNICORN_CMD_ARGS", "")), *words])
            )
    except SystemExit:
        raise ValueError(f"gunicorn refuses it: {refusal.getvalue().strip().splitlines()[-1]}") from None
    return Gunicorn(
        application=" ".join(given.args),
        workers=given.workers or int(app.env_variables.get("WEB_CONCURRENCY", "1")),
        threads=given.threads or 1,
        timeout=30 if given.timeout is None else given.timeout,
        preload=bool(given.preload_app),
        bind=tuple(given.bind or ()),
    )


def readable(app: AppYaml) -> Gunicorn | None:
    """For checks that count: None where E053 says what is wrong."""
    try:
        return gunicorn(app)
    except ValueError:
        return None


@on_app_engine
def check_entrypoint(app: AppYaml) -> Iterator[CheckMessage]:
    """E053, E054: gunicorn serves main:app, and is installed."""
    try:
        application = gunicorn(app).application
        fault = f"it serves {application or 'nothing'}" if application != APPLICATION else ""
    except ValueError as error:
        fault = str(error)
    if fault:
        yield Error(
            f"{app.name}: entrypoint: {fault}. Write `entrypoint: gunicorn ... {APPLICATION}`, which the "
            "local run and the container serve too.",
            id="appengine.E053",
        )
    requirements = path_of("requirements.txt")
    listed = requirements.read_text(encoding="utf-8") if requirements.exists() else ""
    if not re.search(r"^gunicorn\b", listed, re.MULTILINE):
        yield Error(
            f"requirements.txt {'lacks gunicorn' if listed else 'is missing'}, which the entrypoint of "
            f"{app.name} starts: App Engine installs nothing else. Run `make requirements`.",
            id="appengine.E054",
        )


@on_app_engine
def check_server_options(app: AppYaml) -> Iterator[CheckMessage]:
    """E055 to E058: options that work on a laptop and not on App Engine."""
    server = readable(app)
    if server is None:
        return
    if fixed := [address for address in server.bind if address not in PORTS]:
        yield Error(
            f"{app.name}: entrypoint: --bind {fixed[0]}: App Engine asks at $PORT and nowhere else. Remove "
            "--bind: gunicorn reads PORT.",
            id="appengine.E055",
        )
    if server.preload:
        yield Error(
            f"{app.name}: entrypoint: --preload opens gRPC connections before the fork (Secret Manager), and "
            "those hang in the workers. Remove --preload.",
            id="appengine.E056",
        )
    deadline = app.scaling.request_deadline
    if 0 < server.timeout < deadline:
        yield Error(
            f"{app.name}: entrypoint: gunicorn kills a worker after {server.timeout} s, with all of its "
            f"{server.threads} requests, and App Engine gives a request {deadline} s. Write --timeout 0: App "
            "Engine's deadline is enough.",
            hint="30 s is gunicorn's own default. A worker with threads is killed when it does not report; "
            "an instance without requests gets no CPU to report with.",
            id="appengine.E057",
        )
    memory = MEMORY.get(app.instance_class)
    if memory and server.workers * WORKER_MB > memory:
        yield Caution(
            f"{app.name}: {server.workers} workers need about {server.workers * WORKER_MB} MB, an "
            f"{app.instance_class} has {memory}. Write --workers {max(1, memory // WORKER_MB)} and more "
            "--threads, or a larger instance_class.",
            hint=f"{server.workers} x {WORKER_MB} MB > {memory} MB: App Engine stops the instance.",
            id="appengine.W058",
        )
