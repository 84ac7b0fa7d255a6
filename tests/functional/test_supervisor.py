"""`make run` from outside, on a stand-in project: real gunicorn, real signals, a real Datastore."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.cloud.datastore import Client, Entity

from apps.appengine.local.preflight import free_port
from tests.datastores import as_emulator_host

ROOT = Path(__file__).resolve().parents[2]
APP_YAML = """
entrypoint: gunicorn --worker-class gthread --threads 4 --timeout 0 --no-control-socket main:app
handlers:
- url: /static
  static_dir: files
"""
CRON_YAML = "cron: [{url: /_cron/tidy, schedule: every day 04:00}]"
QUEUE_YAML = "queue: [{name: default, rate: 5/s}]"
# Stands in for Django's: notes what it is asked and answers the first start.
MANAGE = """
import json, os, sys
print(*sys.argv[1:], file=open(os.environ["LOCAL_HOME"] + "/commands", "a"))
if os.environ.get("FAILING") == sys.argv[1]:
    sys.exit("table main.lost is missing")
if sys.argv[1] == "local_first_start":
    print("a line before the answer")
    print(json.dumps({"sign-in": "dev@example.com / password", "API key": "key_123"}))
"""
MAIN = """
import json, os, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/log":
        print(json.dumps({"severity": "WARNING", "message": "spilt", "cup": 3}), flush=True)
    if path == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    ready = not os.path.exists(os.environ["LOCAL_HOME"] + "/unready")
    start_response("200 OK" if ready else "503 Not Yet", [("Content-Type", "application/json")])
    answer = {"pid": os.getpid(), "parent": os.getppid(), "environment": dict(os.environ)}
    return [json.dumps(answer).encode()]
"""
ELSEWHERE = {"DATASTORE_EMULATOR_HOST": "127.0.0.1:1", "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:1"}


@dataclass
class LocalRun:
    """One `make run`, and what it has printed so far."""

    process: subprocess.Popen[str]
    port: int
    home: Path
    lines: list[str] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def printed(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in self.lines)

    def wait_for(self, pattern: str, seconds: float = 40) -> None:
        wait_until(lambda: self.printed(pattern), seconds, lambda: f"{pattern!r} in " + "\n".join(self.lines))

    def ask(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            return json.loads(body)
        finally:
            connection.close()

    @contextmanager
    def asking(self, path: str) -> Iterator[None]:
        """Inside, a request for `path` is with the app."""
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            time.sleep(0.3)
            yield

    def processes(self) -> list[int]:
        """Every process of this run but the supervisor."""
        mark = f"LOCAL_HOME={self.home}".encode()
        return [pid for pid in pids() if pid != self.process.pid and mark in environment_of(pid)]

    def end(self, signal_number: int = signal.SIGTERM) -> float:
        """Ask it to stop: the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal_number)
        assert self.process.wait(30) == 0
        return time.monotonic() - began


def pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def wait_until(holds: Callable[[], bool], seconds: float, wanted: Callable[[], str] = lambda: "it") -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {wanted()}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def project() -> Iterator[Path]:
    files = {
        "app.yaml": APP_YAML,
        "cron.yaml": CRON_YAML,
        "queue.yaml": QUEUE_YAML,
        "manage.py": MANAGE,
        "main.py": MAIN,
    }
    with tempfile.TemporaryDirectory(prefix="project-") as name:
        for file, text in files.items():
            (Path(name) / file).write_text(text)
        yield Path(name)


@contextmanager
def started(project: Path, home: Path, port: int, **environment: str) -> Iterator[LocalRun]:
    """Datastore and queues are somewhere else unless named."""
    ours = {"PYTHONPATH": str(ROOT), "LOCAL_HOME": str(home), "PORT": str(port), **ELSEWHERE}
    process = subprocess.Popen(
        [sys.executable, "-m", "apps.appengine.local"],
        cwd=project,
        env=os.environ | ours | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run = LocalRun(process, port, home)
    reader = threading.Thread(target=run.read)
    reader.start()
    try:
        yield run
    finally:
        process.kill()
        process.wait()
        reader.join(20)  # until the last process that writes there has ended
        assert process.stdout
        process.stdout.close()


@contextmanager
def running(project: Path, home: Path, **environment: str) -> Iterator[LocalRun]:
    """A run with its ready line printed."""
    with started(project, home, free_port(), **environment) as run:
        run.wait_for("^ready:")
        yield run


def refusal(project: Path, home: Path, port: int, **environment: str) -> str:
    """What a run that cannot start says; it exits with 1."""
    with started(project, home, port, **environment) as run:
        assert run.process.wait(20) == 1
    return "\n".join(run.lines)


@pytest.fixture(scope="module")
def run(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """A run for tests that leave it running."""
    settings = {"DJANGO_SETTINGS_MODULE": "mysite.settings.test"}
    with running(project, tmp_path_factory.mktemp("home"), **settings) as run:
        yield run
        assert run.end() < 20
        assert run.processes() == []
        assert not (run.home / "run.env").exists()


def test_one_line_says_that_it_is_ready_and_how_to_get_in(run: LocalRun) -> None:
    [line] = [line for line in run.lines if line.startswith("ready:")]
    here = f"http://localhost:{run.port}"
    assert line.startswith(f"ready: {here}  sign-in dev@example.com / password  API key key_123")
    assert f"cron {here}/_local/cron/" in line
    assert run.ask("/_local/cron/jobs.json")[0]["url"] == "/_cron/tidy"
    assert not any("\033" in line for line in run.lines)  # no colour in a pipe


def test_the_database_and_the_static_files_are_prepared(run: LocalRun) -> None:
    commands = sorted((run.home / "commands").read_text().splitlines())
    assert [command.split()[0] for command in commands] == ["collectstatic", "local_first_start", "migrate"]


def test_programs_learn_where_things_are_and_commands_beside_the_run_do_too(run: LocalRun) -> None:
    seen = run.ask("/")["environment"]
    assert seen["DJANGO_SETTINGS_MODULE"] == "mysite.settings.local"
    assert (seen["LOCAL_RUNTIME"], seen["TASKS_TARGET"]) == ("1", "appengine")
    shared = dict(line.split("=", 1) for line in (run.home / "run.env").read_text().splitlines())
    assert shared == {**ELSEWHERE, "TASKS_TARGET": "appengine", "CLOUD_TASKS_LOCATION": "local"}
    assert shared.items() <= seen.items()


def test_it_is_not_ready_before_the_app_says_so(project: Path, tmp_path: Path) -> None:
    (tmp_path / "unready").touch()
    with started(project, tmp_path, free_port()) as run:
        run.wait_for("Booting worker")
        time.sleep(3)
        assert not run.printed("^ready:")
        (tmp_path / "unready").unlink()
        run.wait_for("^ready:")


def test_a_dead_program_is_started_again_and_that_is_said(run: LocalRun) -> None:
    before = run.ask("/")
    os.kill(before["parent"], signal.SIGKILL)
    run.wait_for(r"web ended with SIGKILL; it starts again in 0\.\d s")
    after = run.ask("/")
    assert after["parent"] != before["parent"]
    os.kill(after["pid"], signal.SIGKILL)
    wait_until(lambda: run.ask("/")["pid"] != after["pid"], 5)


def test_log_lines_carry_their_programs_name_and_json_is_made_readable(run: LocalRun) -> None:
    run.ask("/log")
    run.wait_for(r"^web +\| WARNING spilt cup=3$")


def test_a_program_that_cannot_start_is_named_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "cron.yaml").write_text(CRON_YAML)
    (tmp_path / "app.yaml").write_text("entrypoint: no-such-server main:app")
    (tmp_path / "manage.py").write_text(MANAGE)
    with started(tmp_path, tmp_path / "home", free_port()) as run:
        run.wait_for(r"web ended with .*no-such-server.*; it starts again in 0\.2 s")
        run.wait_for(r"web ended with .*no-such-server.*; it starts again in 0\.8 s")
        assert run.end() < 5


def test_a_request_under_way_is_answered_before_it_stops(project: Path, tmp_path: Path) -> None:
    with running(project, tmp_path) as run:
        answers: list[Any] = []
        request = threading.Thread(target=lambda: answers.append(run.ask("/slow?1")))
        request.start()
        time.sleep(0.3)
        run.process.send_signal(signal.SIGTERM)  # twice, as from make when the whole group gets it
        run.wait_for("stopping")
        assert run.end(signal.SIGTERM) < 10
        request.join()
        assert len(answers) == 1
        assert run.processes() == []


def test_a_second_ctrl_c_kills(project: Path, tmp_path: Path) -> None:
    with running(project, tmp_path) as run:
        with run.asking("/slow?30"):
            run.process.send_signal(signal.SIGINT)
            run.wait_for("stopping")
            assert run.end(signal.SIGINT) < 3  # unkilled, gunicorn would take its 3 s of grace
        assert run.processes() == []


def test_a_killed_supervisor_leaves_no_process_and_the_next_run_waits_for_the_last(
    project: Path, tmp_path: Path
) -> None:
    with running(project, tmp_path) as run:
        left = run.processes()
        assert len(left) >= 4  # gunicorn and its worker, front door, cron clock
        with run.asking("/slow?3.5"):  # gunicorn finishes what it has
            run.process.kill()
        with started(project, tmp_path, free_port()) as following:
            following.wait_for("Starting gunicorn")
            assert not set(left) & set(run.processes())
            following.wait_for("^ready:")


def test_a_taken_port_is_refused_with_the_variable_that_moves_it(project: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert re.search(rf"Port {port} is taken.*PORT={port + 1}", refusal(project, tmp_path, port))
    assert "PORT must be a number" in refusal(project, tmp_path, 0, PORT="http")


def test_two_runs_share_no_folder_and_two_folders_do_not_collide(
    project: Path, run: LocalRun, tmp_path: Path
) -> None:
    assert re.search(r"Another run uses .*LOCAL_HOME=", refusal(project, run.home, free_port()))
    with running(project, tmp_path) as other:
        assert other.ask("/")["parent"] != run.ask("/")["parent"]


def test_missing_java_is_named_with_what_to_do(project: Path, tmp_path: Path) -> None:
    google = {"DATASTORE_EMULATOR_HOST": "", "LOCAL_DATASTORE": "emulator", "PATH": "/nowhere"}
    sentence = refusal(project, tmp_path, free_port(), **google)
    assert re.search(r"(Java|emulator).* is missing.*[Ii]nstall.*LOCAL_DATASTORE", sentence)


def test_a_misspelt_local_datastore_is_refused_with_the_choices(project: Path, tmp_path: Path) -> None:
    misspelt = {"DATASTORE_EMULATOR_HOST": "", "LOCAL_DATASTORE": "emulater"}
    sentence = refusal(project, tmp_path, free_port(), **misspelt)
    assert "LOCAL_DATASTORE is embedded or emulator, not emulater." in sentence


def test_a_failing_migration_ends_the_run_with_its_reason(project: Path, tmp_path: Path) -> None:
    sentence = refusal(project, tmp_path, free_port(), FAILING="migrate")
    assert "table main.lost is missing" in sentence
    assert "`manage.py migrate --no-input --verbosity 0` failed" in sentence


def test_what_the_datastore_and_the_queues_hold_survives_a_restart(project: Path, tmp_path: Path) -> None:
    whole = {"DATASTORE_EMULATOR_HOST": "", "CLOUD_TASKS_EMULATOR_HOST": ""}
    with running(project, tmp_path, **whole) as run:
        client = datastore(tmp_path)
        note = Entity(client.key("Note", "kept"))
        note["text"] = "here"
        client.put(note)
        assert run.end() < 20
    with running(project, tmp_path, **whole) as run:
        client = datastore(tmp_path)
        assert client.get(client.key("Note", "kept"))["text"] == "here"
        assert (tmp_path / "queues.sqlite3").exists()
        run.end()


def datastore(home: Path) -> Client:
    """A client of the run's Datastore, at the address in run.env."""
    shared = dict(line.split("=", 1) for line in (home / "run.env").read_text().splitlines())
    with as_emulator_host(shared["DATASTORE_EMULATOR_HOST"]):
        return Client(project="local")
