"""Every store really asked: SQLite, the cache, and gRPC servers or broken ports that the test opens."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from django.db.utils import ConnectionHandler
from django.test import Client, RequestFactory
from google.cloud.datastore_v1.types import EntityResult, LookupRequest, LookupResponse

import apps.appengine.tasks.client  # noqa: F401  takes its time, and the probe would be the first to import it
from apps.appengine import health, ndb_context

type Answer = tuple[int, dict[str, Any]]


class Google(grpc.GenericRpcHandler):
    """A Datastore that is empty and a Cloud Tasks that has every queue."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method == "/google.datastore.v1.Datastore/Lookup":
            return grpc.unary_unary_rpc_method_handler(
                self.lookup, LookupRequest.deserialize, LookupResponse.serialize
            )
        if details.method == "/google.cloud.tasks.v2.CloudTasks/GetQueue":
            return grpc.unary_unary_rpc_method_handler(lambda *_: b"")
        return None

    def lookup(self, request: LookupRequest, _: grpc.ServicerContext) -> LookupResponse:
        return LookupResponse(missing=[EntityResult(entity={"key": key}) for key in request.keys])


@pytest.fixture(scope="session")
def google() -> Iterator[str]:
    """host:port of both. One for all: gRPC remembers a port that refused it, whoever has it next."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Google()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def hanging(settings: Any) -> Iterator[str]:
    """host:port that accepts connections and never answers; the deadline is 0.5 s then."""
    settings.READINESS_DEADLINE = 0.5
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


CLOSED = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def own_clients(google: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Healthy stores of this test alone; ends when every probe has, so that no test sees another's."""
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", google)
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", google)
    use_sql(monkeypatch, ENGINE="django.db.backends.sqlite3", NAME=str(tmp_path / "db.sqlite3"))
    ndb_context.client.cache_clear()
    yield
    for thread in probes():
        thread.join(5)
    ndb_context.client.cache_clear()


def use_sql(monkeypatch: pytest.MonkeyPatch, **database: str) -> None:
    monkeypatch.setattr(health, "connections", ConnectionHandler({"default": database}))


def probes() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("probe-")]


def ask() -> Answer:
    response = asyncio.run(health.readyz(RequestFactory().get("/readyz")))
    return response.status_code, json.loads(response.content)


pytestmark = pytest.mark.django_db  # allows connections


def test_liveness_depends_on_nothing(rf: RequestFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAE_VERSION", "v7")
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", CLOSED)
    response = health.healthz(rf.get("/healthz"))
    assert json.loads(response.content) == {"status": "ok", "version": "v7"}
    assert "no-store" in response["Cache-Control"]


def test_ready_when_every_store_answers() -> None:
    status, body = ask()
    assert (status, body["status"]) == (200, "ok"), body
    assert sorted(body["checks"]) == ["cache", "datastore", "queue", "sql"]
    for check in body["checks"].values():
        assert check["ok"]
        assert 0 < check["ms"] < 2000


@pytest.mark.parametrize(
    ("store", "variable"), [("datastore", "DATASTORE_EMULATOR_HOST"), ("queue", "CLOUD_TASKS_EMULATOR_HOST")]
)
def test_a_store_that_never_answers_is_named_and_holds_no_other_up(
    monkeypatch: pytest.MonkeyPatch, hanging: str, store: str, variable: str
) -> None:
    monkeypatch.setenv(variable, hanging)
    status, body = ask()
    assert (status, body["status"]) == (503, "unavailable")
    failed = body["checks"].pop(store)
    assert failed["error"] == "no answer within 0.5 s"
    assert all(check["ok"] and check["ms"] < 500 for check in body["checks"].values()), body


@pytest.mark.parametrize(
    ("store", "variable"), [("datastore", "DATASTORE_EMULATOR_HOST"), ("queue", "CLOUD_TASKS_EMULATOR_HOST")]
)
def test_a_store_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch, store: str, variable: str) -> None:
    monkeypatch.setenv(variable, CLOSED)
    status, body = ask()
    assert status == 503
    assert [name for name, check in body["checks"].items() if not check["ok"]] == [store]
    assert body["checks"][store]["error"] == "ServiceUnavailable"


def test_several_hanging_stores_cost_one_deadline(monkeypatch: pytest.MonkeyPatch, hanging: str) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", hanging)
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", hanging)
    use_sql(monkeypatch, **postgresql(hanging))
    started = time.monotonic()
    _, body = ask()
    assert 0.5 <= time.monotonic() - started < 0.95  # the clients themselves would wait for 1 s
    assert [name for name, check in body["checks"].items() if check["ok"]] == ["cache"]


def test_a_hanging_store_holds_one_thread_however_often_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, hanging: str, settings: Any
) -> None:
    settings.READINESS_DEADLINE = 0.1
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", hanging)
    use_sql(monkeypatch, **postgresql(hanging))
    for _ in range(4):
        checks = ask()[1]["checks"]
        assert checks["sql"]["error"] == checks["datastore"]["error"] == "no answer within 0.1 s"
    assert len(probes()) <= 2


def test_a_store_that_comes_back_is_ready_again(monkeypatch: pytest.MonkeyPatch, google: str) -> None:
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", CLOSED)
    assert ask()[0] == 503
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", google)
    assert ask()[0] == 200


def postgresql(address: str) -> dict[str, str]:
    host, port = address.split(":")
    login = {"USER": "shop", "PASSWORD": "hunter2", "NAME": "shop"}
    return {"ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port, **login}


def test_a_failure_shows_no_credentials_and_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    use_sql(monkeypatch, **postgresql(CLOSED))
    _, body = ask()
    assert body["checks"]["sql"]["error"] == "OperationalError"
    assert not any(private in json.dumps(body) for private in ("hunter2", "shop", "127.0.0.1"))


def test_a_cache_that_forgets_is_not_ready(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert ask()[1]["checks"]["cache"]["error"] == "LookupError"


def test_sql_connections_are_closed(tmp_path: Path) -> None:
    for _ in range(3):
        assert ask()[1]["checks"]["sql"]["ok"]
    open_files = [fd.resolve() for fd in Path("/proc/self/fd").iterdir()]
    assert not [file for file in open_files if file.is_relative_to(tmp_path)]


def test_warmup_opens_the_clients(rf: RequestFactory) -> None:
    response = asyncio.run(health.warmup(rf.get("/_ah/warmup")))
    assert all(check["ok"] for check in json.loads(response.content)["checks"].values())


def test_warmup_is_a_success_also_when_a_store_is_gone(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", CLOSED)
    response = asyncio.run(health.warmup(rf.get("/_ah/warmup")))
    assert response.status_code == 200
    assert not json.loads(response.content)["checks"]["queue"]["ok"]


def test_only_reading_is_allowed(rf: RequestFactory) -> None:
    assert asyncio.run(health.readyz(rf.post("/readyz"))).status_code == 405


@pytest.mark.parametrize("path", ["/health", "/warmup"])
def test_a_probe_of_cloud_run_is_answered_whatever_its_host_and_scheme(
    client: Client, settings: Any, path: str
) -> None:
    settings.ALLOWED_HOSTS = ["site.example"]
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(path, headers={"Host": "169.254.8.1:8080"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "169.254.8.1:8080"}).status_code != 200


def test_what_is_asked_from_outside_has_a_path_that_does_not_end_in_z(client: Client) -> None:
    """Cloud Run reserves those: https://cloud.google.com/run/docs/known-issues"""
    assert client.get("/health").json() == client.get("/healthz").json()
    assert client.get("/ready").json().keys() == client.get("/readyz").json().keys()
