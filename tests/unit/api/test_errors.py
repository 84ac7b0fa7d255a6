"""Every error under /api/ is JSON, whoever makes it."""

import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest
from django.db import InterfaceError, OperationalError, connection
from google.api_core.exceptions import ServiceUnavailable

from apps.api.parsers import LARGEST_BODY
from apps.appengine import ndb_context
from apps.applications import routing
from apps.applications.models import Application
from apps.core import snapshots
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1", "/api/v2/app", "/api/v1/apps", "/api/v1/app/a%00b", "/ingest/x"]
)
def test_an_unknown_url_is_404_in_json(api: Api, path: str) -> None:
    assert api.get(path, status=404).json["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/app"),
        ("DELETE", "/api/v1/health"),
        ("OPTIONS", "/api/v1/app"),
    ],
)
def test_a_wrong_method_is_405_in_json(api: Api, method: str, path: str) -> None:
    response = api(method, path, status=405)
    assert response.json["code"] == "method_not_allowed"
    assert response.headers["Allow"]


def test_a_wrong_host_is_400_in_json(api: Api) -> None:
    assert api("GET", "/api/v1/app", status=400, Host="evil.example").json["code"] == "bad_request"


def test_an_error_elsewhere_is_not_turned_into_json(api: Api) -> None:
    assert api.get("/nowhere", status=404).content_type == "text/html"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b'"text"',
        b"null",
        b"1",
        b'{"name": "x", "n": NaN}',
        b'{"name": "x", "n": 1e400}',
        b'{"name": "x", "n": ' + b"9" * 5000 + b"}",
        b"[" * 200_000,
        b'{"name": "x", "a":' + b"[" * 128 + b"]" * 128 + b"}",
    ],
)
def test_a_nonsense_body_is_422(api: Api, body: bytes) -> None:
    (item,) = api.post("/api/v1/app", body, status=422).json["detail"]
    assert item["loc"] == ["body"]
    assert isinstance(item["msg"], str)
    assert item["type"].startswith(("value_error", "type_error"))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"name": "\\ud800"}', b'{"name": "\\u0000"}'])
def test_a_field_that_is_absent_or_no_text_is_422_and_named(api: Api, body: bytes) -> None:
    (item,) = api.post("/api/v1/app", body, status=422).json["detail"]
    assert item["loc"] == ["body", "name"]


def test_a_body_as_deep_as_allowed_is_read(api: Api) -> None:
    depth = 128 - 2  # the body itself, and `schemas`
    body = b'{"name": "deep", "description": "", "schemas": {"1": ' + b"[" * (depth) + b"]" * (depth) + b"}}"
    api.post("/api/v1/event-type", body, status=201)


def test_a_body_over_the_limit_is_413(api: Api) -> None:
    body = b'{"name": "' + b"x" * LARGEST_BODY + b'"}'
    assert api.post("/api/v1/app", body, status=413).json["code"] == "payload_too_large"


def test_an_unsupported_content_type_is_415_in_json(api: Api) -> None:
    response = api.app.post("/api/v1/app", "name=x", headers=api.headers, status=415)
    assert response.json["code"] == "unsupported_media_type"


def test_validation_names_the_field_as_the_client_does(api: Api) -> None:
    body = {"uid": "app_1", "rateLimit": 0, "metadata": {"a_b": 1}}
    detail = api.post("/api/v1/app", body, status=422).json["detail"]
    assert [item["loc"] for item in detail] == [
        ["body", "name"],
        ["body", "uid"],
        ["body", "throttleRate"],
        ["body", "metadata", "a_b"],
    ]
    assert detail[0]["type"] == "value_error.missing"


@pytest.fixture
def no_datastore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Datastore nobody listens for."""
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    ndb_context.client.cache_clear()
    yield
    ndb_context.client.cache_clear()


@pytest.mark.usefixtures("no_datastore")
def test_without_a_datastore_no_message_is_accepted_and_the_answer_is_503(
    api: Api, application: Application, tasks: DrainingBackend
) -> None:
    path = f"/api/v1/app/{application.pk}/msg"
    assert api.post(path, {"eventType": "a", "payload": {}}, status=503).json["code"] == "unavailable"
    assert api.get(f"{path}/msg_2Zk1cvJtBnrb0GcoQfyqBXWbOqR", status=503).json["code"] == "unavailable"
    assert tasks.queued == []


def test_text_that_the_database_can_not_hold_is_no_500(api: Api) -> None:
    """PostgreSQL takes no NUL in JSON; SQLite does."""
    body = {"name": "a", "description": "", "schemas": {"1": {"title": "\0"}}}
    status = 422 if connection.vendor == "postgresql" else 201
    api.post("/api/v1/event-type", body, status=status, idempotency_key="key")


def raising(error: Exception) -> object:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


def test_an_unexpected_error_is_500_with_a_trace_id_and_nothing_else(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routing, "find", raising(RuntimeError("secret detail")))
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    with caplog.at_level(logging.ERROR):
        response = api(
            "GET", "/api/v1/app/any/msg", status=500, traceparent=f"00-{trace_id}-00f067aa0ba902b7-01"
        )
    assert response.json == {"code": "server_error", "detail": f"An unexpected error. Trace id: {trace_id}."}
    (logged,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert logged.exc_info is not None


def test_an_error_before_the_view_is_500_in_json_too(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("apps.appengine.ndb_context.client", raising(RuntimeError("secret detail")))
    response = Api(None).get("/api/v1/health", status=500)
    assert response.json["code"] == "server_error"
    assert "secret" not in response.text
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        ServiceUnavailable("gone"),
        snapshots.Unavailable("gone"),
        OperationalError("gone"),
        InterfaceError("gone"),
    ],
)
def test_a_store_that_does_not_answer_is_503_in_json(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(routing, "find", raising(error))
    response = api.get("/api/v1/app/any/msg", status=503)
    assert response.json["code"] == "unavailable"
    assert "ry again" in response.json["detail"]
