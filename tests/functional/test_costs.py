"""The counted cost of one delivered message, on the wire: what docs/data-model.md promises.

One endpoint, the first attempt succeeds, an idempotency key is present, no event id. And what it costs in
money: the tables of docs/operations.md have the counts, and add up.
"""

import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from webtest import TestApp

import main
from apps.appengine.logs import CloudLoggingFormatter
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


def post_message(
    site: TestApp, application: Application, api_key: str, payload: dict[str, Any] | None = None
) -> None:
    site.post_json(
        f"/api/v1/app/{application.pk}/msg",
        {"eventType": "invoice.paid", "payload": payload or {"n": 1}},
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


OPERATIONS = (Path(main.__file__).parent / "docs/operations.md").read_text()
PAYLOAD = {"pad": "x" * 990}  # 1,000 bytes of JSON
GIB = 2**30
REQUEST_LOG = 2 * 1500  # bytes of the two entries that Google writes itself; estimated
# What the page multiplies by, for each unit of its prices.
PER = {
    "per 100,000": 1 / 100_000,
    "per 1,000,000": 1 / 1_000_000,
    "a GiB": 1 / GIB,
    "a GiB and month": 3 / GIB,  # kept for 90 days
    "an hour": 1 / 3_600_000,  # counted in milliseconds
}


def rows(heading: str) -> dict[str, list[str]]:
    """The table under a heading of the page: cells by the first one."""
    section = OPERATIONS.partition(f"### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line
    ]
    return {name: rest for name, *rest in cells[2:]}


def number(text: str) -> float:
    """The figure that a cell begins with."""
    match = re.match(r"[\d,.]+", text)
    assert match, text
    return float(match[0].replace(",", ""))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What production's log gets."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(CloudLoggingFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def test_the_bill_in_the_operations_page_has_what_is_counted(
    application: Application,
    add_endpoint: Callable[..., Endpoint],
    api_key: str,
    receiver: Receiver,
    wire: Wire,
    cloud_tasks: FakeCloudTasks,
    log: io.StringIO,
) -> None:
    add_endpoint(receiver.url)
    site = TestApp(main.app)
    post_message(site, application, api_key, PAYLOAD)
    run_tasks(site, cloud_tasks)
    bill = {
        name: number(cells[0]) for name, cells in rows("What a million messages cost").items() if cells[0]
    }

    assert bill["Datastore reads"] == len(wire.looked_up)
    assert bill["Datastore writes"] == len(wire.mutations)
    assert bill["Datastore deletes, by TTL"] == len(wire.sizes)
    assert bill["Cloud Tasks operations"] == 2 * len(cloud_tasks.calls)  # a create and a dispatch
    (request,) = receiver.requests
    sent = len(request.body) + sum(len(name) + len(value) + 4 for name, value in request.headers.items())
    # Bytes differ by the length of names and paths; index entries take as much as entities.
    assert bill["Datastore storage, 90 days"] == pytest.approx(2 * sum(wire.sizes.values()), rel=0.15)
    assert bill["log"] == pytest.approx(len(log.getvalue()) + REQUEST_LOG, rel=0.15)
    assert bill["requests to endpoints, before TLS"] == pytest.approx(sent, rel=0.15)


def test_the_bill_in_the_operations_page_adds_up() -> None:
    *lines, total = rows("What a million messages cost").values()
    for counted, price, usd in lines:
        unit = price.partition(" ")[2]
        assert float(usd) == pytest.approx(number(counted) * 1e6 * number(price) * PER[unit], abs=0.005), (
            price
        )
    assert float(total[2]) == pytest.approx(sum(float(usd) for _, _, usd in lines), abs=0.005)


def test_what_an_idle_site_costs_adds_up() -> None:
    *lines, total = rows("What an idle site costs").values()
    for counted, price, usd in lines:
        assert float(usd) == pytest.approx(number(counted) * number(price), abs=0.01), price
    assert float(total[2]) == pytest.approx(sum(float(usd) for _, _, usd in lines), abs=0.005)
