"""docs/metrics.md lists the events that are logged, with their fields: each is made to happen here."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from apps.appengine.local.preflight import free_port
from apps.appengine.logs import CloudLoggingFormatter
from apps.appengine.spans.sender import Sender
from apps.appengine.spans.tracer import Tracer
from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.deliveries import replay
from apps.deliveries.accept import Draft, accept
from apps.deliveries.sweep import sweep
from tests.architecture.repository import ROOT
from tests.architecture.test_document_contents import tables
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("private_endpoints", "datastore")]

PAGE = (ROOT / "docs/metrics.md").read_text()
EVENTS_SECTION = PAGE.partition("## Events")[2].partition("\n## ")[0]
TERRAFORM = "".join(path.read_text() for path in sorted((ROOT / "terraform").glob("*.tf")))
# What every line of the log has, whatever it is about.
COMMON = {"severity", "message", "time", "logger"}
DRAFT = Draft(event_type="invoice.paid", payload=b'{"card": "a customer\'s"}')


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The payloads of the events that are logged, as Cloud Logging gets them."""
    monkeypatch.setenv("LOCAL_RUNTIME", "1")
    found: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = json.loads(self.format(record))
            if "event" in line:
                found.append(line)

    handler, logger = Keep(), logging.getLogger("apps")
    handler.setFormatter(CloudLoggingFormatter())
    logger.addHandler(handler)
    level, logger.level = logger.level, logging.INFO
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


def documented(event: str) -> set[str]:
    """The fields that the page lists."""
    rows = [row for row in tables(EVENTS_SECTION) if len(row) == 3]
    return {row[1].strip("`") for row in rows if row[0] == f"`{event}`" and not row[1].startswith("`apps/")}


def fields(line: dict[str, Any]) -> set[str]:
    """A line's own fields."""
    own = {name for name in line if not name.startswith("logging.googleapis.com")}
    return own - COMMON - {"event", "stack_trace", "@type", "serviceContext"}


def cron(job: str) -> int:
    return Client().get(f"/_cron/{job}", headers={"X-Appengine-Cron": "true"}).status_code


def task(path: str, body: str) -> int:
    headers = {"X-AppEngine-QueueName": "default", "X-AppEngine-TaskRetryCount": "2"}
    return Client().post(f"/_tasks/default/{path}", body, "application/json", headers=headers).status_code


def test_an_attempt_has_the_fields_of_the_page_and_a_late_one_says_how_late(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
    events: list[dict[str, Any]],
) -> None:
    endpoint = add_endpoint(f"{receiver.url}/secret-path")
    message = accept(route_of(), DRAFT)
    tasks.drain()
    replay.resend(route_of(), message, endpoint.pk)
    tasks.drain()

    scheduled, manual = events
    assert fields(scheduled) == documented("attempt")
    assert fields(manual) == documented("attempt") - {"late_ms"}
    assert (scheduled["trigger"], scheduled["number"], scheduled["delivery_status"]) == (
        "scheduled",
        1,
        "delivered",
    )
    assert 0 <= scheduled["late_ms"] < 60_000
    assert (manual["trigger"], manual["number"]) == ("manual", 2)
    assert not re.search("secret-path|card|127.0.0.1", json.dumps(events))


def test_a_dead_letter_is_counted_once_though_a_resend_of_it_fails_too(
    settings: Any,
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
    events: list[dict[str, Any]],
) -> None:
    settings.WAYBILL_RETRY_SCHEDULE = settings.WAYBILL_RETRY_SCHEDULE[:1]
    endpoint = add_endpoint(f"{receiver.url}/a")
    receiver.answers["/a"] = [500, 500]
    message = accept(route_of(), DRAFT)
    tasks.drain()
    replay.resend(route_of(), message, endpoint.pk)
    tasks.drain()

    assert [line["delivery_status"] for line in events] == ["failed", "failed"]
    dead = [one for one in events if (one["trigger"], one["delivery_status"]) == ("scheduled", "failed")]
    assert len(dead) == 1


def test_each_run_of_the_sweep_says_what_was_overdue_and_for_how_long(
    add_endpoint: Callable[..., Endpoint],
    route_of: Callable[[], Route],
    receiver: Receiver,
    tasks: DrainingBackend,
    events: list[dict[str, Any]],
) -> None:
    assert cron("sweep") == 200
    add_endpoint(receiver.url)
    message = accept(route_of(), DRAFT)
    tasks.clear()  # the task is lost
    sweep(message.created_at + timedelta(seconds=106))

    empty, found = [line for line in events if line["event"] == "sweep"]
    assert fields(empty) == fields(found) == documented("sweep")
    assert (empty["severity"], empty["overdue"], empty["oldest_overdue_s"]) == ("INFO", 0, 0)
    assert (found["severity"], found["overdue"], found["oldest_overdue_s"]) == ("WARNING", 1, 106)


def test_each_run_of_a_cron_job_says_how_it_ended(
    settings: Any, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {"good": "os.getcwd", "bad": "no.such.function"}
    monkeypatch.setattr("mysite.cron.JOBS", jobs)
    assert [cron(name) for name in ("good", "bad", "unknown")] == [200, 500, 404]

    assert [(line["job"], line["outcome"]) for line in events] == [
        ("good", "done"),
        ("bad", "failed"),
        ("unknown", "failed"),
    ]
    assert all(fields(line) == documented("cron") for line in events)


def test_a_task_that_did_not_succeed_says_how_it_ended(events: list[dict[str, Any]]) -> None:
    def body(name: str) -> str:
        return json.dumps({"task": name, "args": [], "kwargs": {}, "id": "a", "backend": "default"})

    here = "tests.unit.appengine.example_tasks"
    names = [f"{here}.attempt_number", f"{here}.fail", f"{here}.give_up", f"{here}.gone"]
    assert [task(name, body(name)) for name in names] == [200, 500, 200, 500]
    assert task("any.path", "not json") == 200

    assert [line["outcome"] for line in events] == ["failed", "gave_up", "failed", "gave_up"]
    assert all(fields(line) == documented("task") for line in events)
    assert {line["attempts"] for line in events} == {3}
    assert {line["queue"] for line in events} == {"default"}


def test_spans_that_could_not_be_sent_are_counted(events: list[dict[str, Any]]) -> None:
    sender = Sender(f"http://127.0.0.1:{free_port()}/v1/traces", {})
    Tracer(sender.add, rate=1.0).start_span("one").end()
    sender.close()
    (line,) = events
    assert fields(line) == documented("spans")
    assert line["lost"] == 1


def test_the_page_has_every_event_that_the_code_names() -> None:
    code = "".join(path.read_text() for path in (ROOT / "apps").rglob("*.py"))
    listed = {row[0].strip("`") for row in tables(EVENTS_SECTION)} - {"event"}
    assert set(re.findall(r'"event": "(\w+)"', code)) == listed


def section(title: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    return tables(PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0])[1:]


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def alerts_of(metric: str) -> set[str]:
    """The alerts with a condition on the metric; `local.requests` stands for two of them."""
    conditions = re.findall(r'^ +alert += "([a-z-]+)"(.*?)^ +\}', TERRAFORM, re.DOTALL | re.MULTILINE)
    requests = set(re.findall(r'metric = "metric.type=\\"([^$"\\]+)', TERRAFORM))
    return {
        alert
        for alert, rest in conditions
        if metric in rest or (metric in requests and "local.requests.metric" in rest)
    }


def test_the_page_has_the_metrics_that_terraform_makes_with_their_labels_and_alerts() -> None:
    made = re.findall(r"^ +(\w+) = \{\n +description = (.*?)^ +\}", TERRAFORM, re.DOTALL | re.MULTILINE)
    assert len(made) > 5
    labels = {
        name: set(re.findall(r'"(\w+)"', "".join(re.findall(r"labels .*", rest)))) for name, rest in made
    }
    rows = section("Metrics made of the log")
    assert {row[0].strip("`"): quoted(row[2]) for row in rows} == labels
    for name, kind, _, _, alerts in rows:
        metric = name.strip("`")
        assert quoted(alerts) == alerts_of(f'log_metric["{metric}"]'), metric
        assert kind.startswith("distribution") == ("value " in dict(made)[metric]), metric


def test_the_page_has_every_metric_of_googles_that_terraform_looks_at() -> None:
    looked_at = set(re.findall(r'metric\.type=\\"([a-z]+\.googleapis\.com/[^$"\\]+)', TERRAFORM))
    assert len(looked_at) > 5
    rows = section("Google's own metrics")
    assert {row[0].strip("`") for row in rows} == looked_at
    for metric, _, alerts in rows:
        assert quoted(alerts) == alerts_of(metric.strip("`")), metric
