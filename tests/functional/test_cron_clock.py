"""The cron clock before an application that keeps what it is asked, on a real unix socket."""

import asyncio
import http.client
import json
import os
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from apps.appengine import cron_yaml
from apps.appengine.local.cron_clock.caller import AppEngineCron
from apps.appengine.local.cron_clock.clock import Clock

ROOT = Path(__file__).resolve().parents[2]
CRON_YAML = """
cron:
- url: /_cron/daily?full=1
  schedule: every day 04:00
  description: <daily> job
- url: /_cron/fragile
  schedule: every day 05:00
  retry_parameters: {job_retry_limit: 2, min_backoff_seconds: 0.2}
- url: /_cron/moved
  schedule: every day 06:00
- url: /_cron/slow
  schedule: every day 07:00
"""


class Application(socketserver.ThreadingUnixStreamServer):
    """Answers 200, or what `answers` says for the path."""

    daemon_threads = True

    def __init__(self, address: Path) -> None:
        super().__init__(str(address), Handler)
        self.requests: list[tuple[float, str, str, dict[str, str]]] = []
        self.answers: dict[str, list[int]] = {}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def paths(self) -> list[str]:
        return [path for _, _, path, _ in self.requests]


class Handler(BaseHTTPRequestHandler):
    server: Application

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((time.monotonic(), self.command, self.path, headers))
        if self.path == "/_cron/slow":
            time.sleep(0.5)
        answers = self.server.answers.get(self.path)
        self.send_response(answers.pop(0) if answers else 200)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def home() -> Iterator[Path]:
    """Short enough for a socket's address."""
    with tempfile.TemporaryDirectory(prefix="cron-") as name:
        (Path(name) / "cron.yaml").write_text(CRON_YAML)
        yield Path(name)


@pytest.fixture
def application(home: Path) -> Iterator[Application]:
    with Application(home / "web") as server:
        yield server
        server.shutdown()


@contextmanager
def running_clock(home: Path) -> Iterator[None]:
    """The clock as the supervisor starts it, once its page answers."""
    options = [
        "--app",
        f"unix:{home / 'web'}",
        "--page",
        f"unix:{home / 'page'}",
        "--state",
        str(home / "cron.json"),
    ]
    command = [sys.executable, "-m", "apps.appengine.local.cron_clock", *options]
    with subprocess.Popen(command, cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        try:
            wait_until_it_answers(home)
            yield
        finally:
            process.terminate()
            assert process.wait(5) == 0


def wait_until_it_answers(home: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            ask(home, "/jobs.json")
            return
        except OSError:
            assert time.monotonic() < deadline, "the clock's page does not answer"
            time.sleep(0.05)


def ask(home: Path, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("localhost:8080", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(home / "page"))
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def at_58_seconds() -> timedelta:
    """What to add to the time for a full minute in two seconds."""
    now = datetime.now(UTC)
    return now.replace(second=58, microsecond=0) - now


def keep_time(clock: Clock, seconds: float) -> None:
    async def for_a_while() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(clock.keep_time(), seconds)

    asyncio.run(for_a_while())


def test_a_job_runs_on_the_minute_and_not_before(home: Path, application: Application) -> None:
    (home / "cron.yaml").write_text("cron: [{url: /_cron/sweep, schedule: every 1 mins synchronized}]")
    shift = at_58_seconds()
    jobs = cron_yaml.read(home / "cron.yaml")
    clock = Clock(
        jobs, AppEngineCron(str(home / "web")), home / "cron.json", now=lambda: datetime.now(UTC) + shift
    )
    began = time.monotonic()
    keep_time(clock, 3)
    [(at, method, path, headers)] = application.requests
    assert 1.9 < at - began < 2.9
    assert (method, path, headers["x-appengine-cron"]) == ("GET", "/_cron/sweep", "true")


def test_a_run_missed_while_nothing_ran_is_caught_up_once(home: Path, application: Application) -> None:
    long_ago = "2024-01-01T04:00:00+00:00"
    run = {"started": long_ago, "finished": long_ago, "outcome": "200"}
    (home / "cron.json").write_text(json.dumps({"/_cron/daily?full=1 every day 04:00": run}))
    for _ in range(2):
        with running_clock(home):
            time.sleep(0.5)
    assert application.paths() == ["/_cron/daily?full=1"]


def test_a_job_runs_on_demand_and_its_outcome_is_shown(home: Path, application: Application) -> None:
    application.answers["/_cron/daily?full=1"] = [500]
    with running_clock(home):
        status, answer = ask(home, "/run?url=/_cron/daily%3Ffull%3D1", "POST")
        assert (status, json.loads(answer)["outcome"]) == (200, "500")
        daily, *others = json.loads(ask(home, "/jobs.json")[1])
        page = ask(home, "/")[1]
    assert application.paths() == ["/_cron/daily?full=1"]  # a failed run is not repeated
    assert (daily["outcome"], daily["schedule"]) == ("500", "every day 04:00")
    assert daily["next_run"][11:] == "04:00:00+00:00"
    assert [other["outcome"] for other in others] == [None, None, None]
    assert "&lt;daily&gt; job" in page
    assert 'action="run?url=/_cron/daily?full%3D1"' in page


def test_a_failed_run_is_repeated_as_its_retry_parameters_say(home: Path, application: Application) -> None:
    application.answers["/_cron/fragile"] = [500, 404, 503]
    with running_clock(home):
        run = json.loads(ask(home, "/run?url=/_cron/fragile", "POST")[1])
    assert (run["outcome"], run["retries"]) == ("503", 2)
    first, second, third = [at for at, *_ in application.requests]
    assert second - first >= 0.2
    assert third - second >= 0.4


def test_a_redirect_is_a_failure_and_is_not_followed(home: Path, application: Application) -> None:
    application.answers["/_cron/moved"] = [302]
    with running_clock(home):
        assert json.loads(ask(home, "/run?url=/_cron/moved", "POST")[1])["outcome"] == "302"
    assert application.paths() == ["/_cron/moved"]


def test_a_job_never_runs_twice_at_once(home: Path, application: Application) -> None:
    statuses: list[int] = []
    with running_clock(home):
        runs = [
            threading.Thread(target=lambda: statuses.append(ask(home, "/run?url=/_cron/slow", "POST")[0]))
            for _ in "ab"
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
    assert sorted(statuses) == [200, 409]
    assert application.paths() == ["/_cron/slow"]


def test_another_sites_page_starts_no_job(home: Path, application: Application) -> None:
    with running_clock(home):
        assert ask(home, "/run?url=/_cron/moved", "POST", Origin="http://evil.example")[0] == 403
        assert ask(home, "/run?url=/_cron/moved", "POST", Origin="null")[0] == 403
        assert ask(home, "/run?url=/_cron/unknown", "POST")[0] == 404
        assert application.paths() == []
        mine = {"Origin": "http://localhost:8080", "Accept": "text/html"}
        assert ask(home, "/run?url=/_cron/moved", "POST", **mine)[0] == 303
    assert application.paths() == ["/_cron/moved"]


def test_an_app_that_is_down_is_an_outcome_and_not_the_end_of_the_clock(home: Path) -> None:
    with running_clock(home):
        for _ in range(2):
            assert "no answer" in json.loads(ask(home, "/run?url=/_cron/moved", "POST")[1])["outcome"]
