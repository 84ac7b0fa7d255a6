"""The whole service as `make run` starts it, driven from outside: over HTTP, by signals, through /proc."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from apps.appengine.local.preflight import free_port

ROOT = Path(__file__).resolve().parents[2]

START_S = 90.0


class System:
    """One local run in a home of its own."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.root = ROOT  # the project
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output: list[str] = []
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DATASTORE_", "CLOUD_TASKS_", "DJANGO_", "PYTEST_"))
        }
        self.environment |= {"PORT": str(self.port), "LOCAL_HOME": str(home), "NO_COLOR": "1", **environment}

    def start(self) -> None:
        """Start, and wait for the ready line. Raises AssertionError with the output."""
        self.output.clear()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "apps.appengine.local"],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        wait_until(lambda: self.ready_line() or self.process.poll() is not None, START_S)
        assert self.ready_line(), "".join(self.output)[-4000:]

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)

    def ready_line(self) -> str:
        """The one line that says all is up, or nothing."""
        return next((line for line in self.output if "ready:" in line), "")

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Signal the supervisor and wait for the end of everything it started."""
        with suppress(ProcessLookupError):
            self.process.send_signal(by)
            self.process.send_signal(signal.SIGCONT)
        self.process.wait(60)
        self.reader.join(10)
        if self.process.stdout:
            self.process.stdout.close()

    @property
    def api_key(self) -> str:
        return (self.home / "api-key").read_text().strip()

    def call(self, method: str, path: str, body: Any = None, timeout: float = 30) -> Any:
        """Call the API under /api/v1 and return its JSON. Raises OSError: no answer, or 4xx and 5xx."""
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.load(response)

    def pids(self, part: str) -> list[int]:
        """The supervisor's children whose command line names `part`."""
        return [pid for pid in children(self.process.pid) if part in command_line(pid)]

    def web_workers(self) -> list[int]:
        """gunicorn's workers, not its master."""
        return [worker for master in self.pids("gunicorn") for worker in children(master)]


@contextmanager
def running(home: Path, **environment: str) -> Iterator[System]:
    """A started system that is stopped in the end."""
    system = System(home, **environment)
    try:
        system.start()
        yield system
    finally:
        system.stop()


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (name) state ppid ...: the name may hold anything, so split after its bracket.
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def wait_until(holds: Callable[[], Any], seconds: float) -> bool:
    """Whether it holds before `seconds` are over."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def add_endpoint(system: System, url: str) -> tuple[str, str]:
    """A new application with one endpoint: their ids."""
    application = system.call("POST", "/app", {"name": "functional test"})["id"]
    return application, system.call("POST", f"/app/{application}/endpoint", {"url": url})["id"]


def recorded_messages(system: System, application_id: str, endpoint_id: str) -> set[str]:
    """The ids of all messages that have a listed attempt."""
    found: set[str] = set()
    iterator = ""
    while True:
        path = f"/app/{application_id}/attempt/endpoint/{endpoint_id}?limit=250{iterator}"
        page = system.call("GET", path)
        found |= {attempt["msgId"] for attempt in page["data"]}
        if page["done"]:
            return found
        iterator = f"&iterator={page['iterator']}"
