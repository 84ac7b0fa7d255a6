"""What all tests share: a real Datastore, a real receiver, an organization with a key."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.tasks import task_backends

from apps.accounts.models import ApiKey, Membership, Organization, User
from apps.appengine import ndb_context
from tests import datastores
from tests.datastores import Datastore
from tests.draining_backend import DrainingBackend
from tests.wire import Wire, between

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Captured output passes between test processes as UTF-8, which nonsense in a log line may not be."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def shared_datastore() -> Iterator[Datastore]:
    """One for each test process, indexes enforced: TEST_DATASTORE names which (tests/datastores.py)."""
    name = os.environ.get("TEST_DATASTORE") or datastores.EMBEDDED
    with (
        datastores.running(name, ROOT / "index.yaml") as started,
        datastores.as_emulator_host(started.host),
    ):
        yield started
        ndb_context.client.cache_clear()


@pytest.fixture
def empty_datastore(shared_datastore: Datastore) -> Datastore:
    """Nothing of another test is in it."""
    shared_datastore.reset()
    return shared_datastore


@pytest.fixture
def datastore(empty_datastore: Datastore) -> Iterator[Datastore]:
    """An empty Datastore and an open NDB context."""
    with ndb_context.use():
        yield empty_datastore


@pytest.fixture(autouse=True)
def _clean_slate() -> Iterator[None]:
    """No tasks and no cache from another test."""
    DrainingBackend.clear()
    cache.clear()
    yield
    DrainingBackend.clear()


@pytest.fixture(autouse=True)
def _connection_outlives_requests() -> Iterator[None]:
    """A request would close the connection that holds the test's transaction. Django's client does so too."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def tasks() -> DrainingBackend:
    """The queue of the test: `tasks.drain()` runs what is due."""
    backend = task_backends["default"]
    assert isinstance(backend, DrainingBackend)
    return backend


@pytest.fixture
def organization(db: None) -> Organization:
    return Organization.objects.create(name="Acme")


@pytest.fixture
def api_key(organization: Organization) -> str:
    """The text of a key of `organization`."""
    return ApiKey.issue(organization, "test")[1]


@pytest.fixture
def stranger_key(db: None) -> str:
    """The text of a key of another organization."""
    return ApiKey.issue(Organization.objects.create(name="Stranger"), "test")[1]


@pytest.fixture
def member_of() -> Callable[[Organization, str], User]:
    """Makes users: member_of(organization, role)."""

    def make(organization: Organization, role: str = "owner") -> User:
        user = User.objects.create_user(f"{role}-{organization.pk}@example.com", "correct horse battery")
        Membership.objects.create(user=user, organization=organization, role=role)
        return user

    return make


@dataclass
class Received:
    """One request that reached the receiver."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Receiver:
    """A real HTTP server that keeps every request and answers as told.

    `answers[path]` is a list of statuses, or of functions that take the request handler and answer
    themselves; when it is empty the answer is 200.
    """

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answers: dict[str, list[int | Callable[[BaseHTTPRequestHandler], None]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def wait_for(self, count: int, seconds: float = 10) -> None:
        """Wait until `count` requests have arrived. Raises AssertionError."""
        deadline = time.monotonic() + seconds
        while len(self.requests) < count:
            assert time.monotonic() < deadline, f"{len(self.requests)} of {count} requests arrived"
            time.sleep(0.01)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on 127.0.0.1."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.requests.append(Received(self.path, headers, body, time.monotonic()))
            answer = kept.answers[self.path].pop(0) if kept.answers[self.path] else 200
            if callable(answer):
                answer(self)
            else:
                self.send_response(answer)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that was killed breaks its connection off: no concern of the receiver."""

    server = Server(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def wire(empty_datastore: Datastore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """An empty Datastore behind a counter of calls, and an open NDB context."""
    with between(empty_datastore.host) as counter:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", counter.address)
        ndb_context.client.cache_clear()
        with ndb_context.use():
            yield counter
        ndb_context.client.cache_clear()


# webhooks: begin
from tests.webhook_fixtures import (  # noqa: E402, F401  pytest finds fixtures by their names here
    add_endpoint,
    application,
    private_endpoints,
    route_of,
)

# webhooks: end
