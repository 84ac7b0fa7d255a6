"""The API as its clients meet it: main.app, a key, JSON in and out."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections
from webtest import TestApp, TestResponse

import main
from apps.applications.models import Application, Endpoint, EventType
from tests.conftest import Receiver
from tests.datastores import Datastore
from tests.draining_backend import DrainingBackend

# The long ones run where a store makes a difference: SQL to what is read of a request, Redis too to who asks.
collect_ignore = []
if "REDIS_HOST" in os.environ or "TEST_DATASTORE" in os.environ:
    collect_ignore.append("test_nonsense.py")
if "TEST_DATASTORE" in os.environ:
    collect_ignore.append("test_strangers.py")


class Api:
    """The site, asked with one API key (or none)."""

    def __init__(self, key: str | None) -> None:
        self.app = TestApp(main.app)
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def __call__(
        self, method: str, path: str, body: Any = None, status: int | None = None, **headers: str
    ) -> TestResponse:
        """Send a request; bytes go as they are. Underscores in header names stand for hyphens."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            return self.app.request(path, method=method, headers=sent, status=status)
        if isinstance(body, bytes):
            options = {"method": method, "body": body, "headers": sent, "status": status}
            return self.app.request(path, content_type="application/json", **options)
        return getattr(self.app, f"{method.lower()}_json")(path, body, headers=sent, status=status)

    def get(self, path: str, status: int | None = None) -> TestResponse:
        return self("GET", path, status=status)

    def post(self, path: str, body: Any, status: int | None = None, **headers: str) -> TestResponse:
        return self("POST", path, body, status, **headers)

    def delete(self, path: str, status: int | None = None) -> TestResponse:
        return self("DELETE", path, status=status)


@pytest.fixture(autouse=True)
def _datastore_is_there(shared_datastore: Datastore) -> None:
    """Each request opens an NDB context."""


@pytest.fixture
def at_once(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., list[Any]]]:
    """Runs a function in threads that start together: at_once(count, act) returns the results.

    On SQLite the threads see a copy of the test's database in a file, where they wait for each other
    as in production. In memory they would fail instead. Only threads see what they wrote.
    """
    in_memory = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(tmp_path / "db.sqlite3")])
        connection.settings_dict["NAME"] = str(tmp_path / "db.sqlite3")
        _at_once(1, connection_is_made)  # the first one switches the file to WAL, alone
    yield _at_once
    connection.settings_dict["NAME"] = in_memory


def connection_is_made() -> None:
    connection.ensure_connection()


def _at_once[T](count: int, act: Callable[[], T]) -> list[T]:
    barrier = Barrier(count)

    def run() -> T:
        barrier.wait(10)
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as threads:
        return [future.result(60) for future in [threads.submit(run) for _ in range(count)]]


@pytest.fixture
def api(api_key: str) -> Api:
    """The owner's key."""
    return Api(api_key)


@pytest.fixture
def stranger(stranger_key: str) -> Api:
    """A key of another organization."""
    return Api(stranger_key)


@pytest.fixture
def nobody(db: None) -> Api:
    """No key."""
    return Api(None)


@pytest.fixture
def pages(api: Api) -> Callable[..., list[list[Any]]]:
    """Follows a list to its end, as the SDKs do: pages(path, key, iterator="iterator")."""

    def follow(path: str, key: str = "id", by: str = "iterator", start: str | None = None) -> list[list[Any]]:
        found, iterator = [], start
        while True:
            page = api.get(path + (f"&iterator={iterator}" if iterator else "")).json
            found.append([item[key] for item in page["data"]])
            if page["done"]:
                return found
            iterator = page[by]

    return follow


@pytest.fixture
def there(
    api: Api,
    application: Application,
    add_endpoint: Callable[..., Endpoint],
    receiver: Receiver,
    tasks: DrainingBackend,
) -> dict[str, str]:
    """Something for each parameter of a path: what an operation needs that is not here is to be added."""
    add_endpoint(f"{receiver.url}/hook", uid="main")
    schemas = {"1": {"examples": [{"n": 1}]}}
    EventType.objects.create(organization=application.organization, name="invoice.paid", schemas=schemas)
    base = f"/api/v1/app/{application.pk}"
    body = {"eventType": "invoice.paid", "eventId": "event-1", "payload": {"n": 1}}
    api.post(f"{base}/msg", body, 202)
    tasks.drain()
    (attempt,) = api.get(f"{base}/attempt/msg/event-1").json["data"]
    recover = api.post(f"{base}/endpoint/main/recover", {"since": "2026-01-01T00:00:00Z"}, 202)
    return {
        "app_id": str(application.uid),
        "endpoint_id": "main",
        "event_type_name": "invoice.paid",
        "msg_id": "event-1",
        "attempt_id": attempt["id"],
        "task_id": recover.json["id"],
    }
