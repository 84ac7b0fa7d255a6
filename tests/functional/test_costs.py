"""The counted cost of one delivered message, on the wire: what docs/data-model.md promises.

One endpoint, the first attempt succeeds, an idempotency key is present, no event id.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from webtest import TestApp

import main
from apps.applications.models import Application, Endpoint
from tests.conftest import Receiver
from tests.fake_cloud_tasks import FakeCloudTasks, serve
from tests.wire import Wire

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("private_endpoints")]


@pytest.fixture
def cloud_tasks(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudTasks]:
    """The real task backend, and something that counts the tasks it creates."""
    backend = {**settings.TASKS["default"], "BACKEND": "apps.appengine.tasks.backend.CloudTasksBackend"}
    settings.TASKS = {**settings.TASKS, "default": backend}
    monkeypatch.setenv("LOCAL_RUNTIME", "1")
    with serve() as running:
        monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", running.address)
        yield running


def post_message(site: TestApp, application: Application, api_key: str) -> None:
    site.post_json(
        f"/api/v1/app/{application.pk}/msg",
        {"eventType": "invoice.paid", "payload": {"n": 1}},
        headers={"Authorization": f"Bearer {api_key}", "Idempotency-Key": "once"},
        status=202,
    )


def run_tasks(site: TestApp, cloud_tasks: FakeCloudTasks) -> None:
    """Dispatch what was created, as Cloud Tasks does."""
    for task in list(cloud_tasks.tasks.values()):
        request = task.app_engine_http_request
        queue = request.relative_uri.split("/")[2]
        site.post(
            request.relative_uri,
            request.body,
            headers={**request.headers, "X-AppEngine-QueueName": queue},
            status=200,
        )


@pytest.mark.parametrize("endpoints", [1, 10])
def test_one_message_costs_no_more_than_promised(
    application: Application,
    add_endpoint: Callable[..., Endpoint],
    api_key: str,
    receiver: Receiver,
    wire: Wire,
    cloud_tasks: FakeCloudTasks,
    endpoints: int,
) -> None:
    for number in range(endpoints):
        add_endpoint(f"{receiver.url}/{number}")
    site = TestApp(main.app)
    if django_settings.REDIS_HOST:
        site.get(
            f"/api/v1/app/{application.pk}/msg", headers={"Authorization": f"Bearer {api_key}"}, status=200
        )
        wire.reset()
    with CaptureQueriesContext(
        connection,
    ) as sql:
        post_message(site, application, api_key)
        run_tasks(site, cloud_tasks)

    assert len(receiver.requests) == endpoints
    assert len(cloud_tasks.calls) == 1
    assert wire.calls["Commit"] == 2
    assert wire.calls["Lookup"] <= 2
    assert set(wire.calls) <= {"Commit", "Lookup"}, "no begin, no query"
    assert Counter(wire.mutations) == {
        ("insert", "Message"): 1,
        ("insert", "IdempotencyRecord"): 1,
        ("insert", "Delivery"): endpoints,
        ("upsert", "Delivery"): endpoints,
        ("insert", "Attempt"): endpoints,
    }
    assert len(sql) <= (0 if django_settings.REDIS_HOST else 4), [query["sql"] for query in sql]
