import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from apps.appengine import logs, trace
from apps.appengine.trace import Trace, TraceMiddleware

type Event = dict[str, Any]
type Events = Callable[[], list[Event]]
CLOUD = "logging.googleapis.com"


@pytest.fixture
def logger() -> logging.Logger:
    """A logger of its own, outside the tree that the suite has configured."""
    return logging.Logger("shop.orders", logging.DEBUG)  # noqa: LOG001  on purpose, as said above


@pytest.fixture
def events(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> Events:
    """What the logger wrote, line by line, each one parsed."""
    for name, value in {
        "GOOGLE_CLOUD_PROJECT": "my-project",
        "GAE_SERVICE": "web",
        "GAE_VERSION": "v7",
    }.items():
        monkeypatch.setenv(name, value)
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.CloudLoggingFormatter())
    logger.addHandler(handler)
    return lambda: [json.loads(line, parse_constant=pytest.fail) for line in stream.getvalue().splitlines()]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text here")


def fail(logger: logging.Logger, level: int, **kwargs: Any) -> None:
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        logger.log(level, "Sums failed", exc_info=True, **kwargs)


def test_an_event_has_severity_message_time_and_place(logger: logging.Logger, events: Events) -> None:
    logger.warning("%s orders\nin two lines\u2028or three", 3)
    [event] = events()
    assert event["severity"] == "WARNING"
    assert event["message"] == "3 orders\nin two lines\u2028or three"
    assert event["logger"] == "shop.orders"
    assert datetime.now(UTC) - datetime.fromisoformat(event["time"]) < timedelta(minutes=1)
    place = event[f"{CLOUD}/sourceLocation"]
    assert place["file"].endswith("test_logs.py")
    assert place["line"].isdigit()
    assert place["function"] == "test_an_event_has_severity_message_time_and_place"


@pytest.mark.parametrize(
    ("level", "severity"),
    [(5, "DEBUG"), (10, "DEBUG"), (20, "INFO"), (35, "WARNING"), (40, "ERROR"), (50, "CRITICAL")],
)
def test_severity_is_one_that_cloud_logging_knows(
    logger: logging.Logger, events: Events, level: int, severity: str
) -> None:
    logger.setLevel(1)
    logger.log(level, "x")
    assert events()[0]["severity"] == severity


def test_events_of_a_request_share_its_trace(logger: logging.Logger, events: Events) -> None:
    with trace.activate(Trace("a" * 32, "b" * 16, sampled=True)):
        logger.info("inside")
    logger.info("outside")
    inside, outside = events()
    assert inside[f"{CLOUD}/trace"] == f"projects/my-project/traces/{'a' * 32}"
    assert inside[f"{CLOUD}/spanId"] == "b" * 16
    assert inside[f"{CLOUD}/trace_sampled"] is True
    assert f"{CLOUD}/trace" not in outside


def test_what_django_logs_after_all_middleware_has_left_still_has_the_trace(
    logger: logging.Logger, events: Events, rf: RequestFactory
) -> None:
    request = rf.get("/missing")
    TraceMiddleware(lambda _: HttpResponse())(request)
    logger.warning("Not Found", extra={"request": request, "status_code": 404})
    assert events()[0][f"{CLOUD}/trace"].startswith("projects/my-project/traces/")


def test_extra_fields_are_fields_of_the_event_and_labels_are_labels(
    logger: logging.Logger, events: Events
) -> None:
    logger.info("x", extra={"order": 17, "lines": [{"sku": "a"}], "labels": {"tenant": 5}})
    [event] = events()
    assert (event["order"], event["lines"]) == (17, [{"sku": "a"}])
    assert event[f"{CLOUD}/labels"] == {"tenant": "5"}
    assert "labels" not in event


def test_an_extra_field_cannot_forge_the_events_own(logger: logging.Logger, events: Events) -> None:
    logger.info("x", extra={"severity": "EMERGENCY", "time": "never"})
    assert events()[0]["severity"] == "INFO"
    assert events()[0]["time"] != "never"


def test_values_that_are_no_json_are_logged_as_text(logger: logging.Logger, events: Events) -> None:
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    awkward = [
        datetime.now(UTC),
        Unprintable(),
        {("a", 1): "b"},
        float("nan"),
        cycle,
        b"\xff",
        "\ud800",
        [Unprintable()],
    ]
    for value in awkward:
        logger.info("x", extra={"value": value})
    assert len(events()) == len(awkward)
    assert all("value" in event for event in events())


def test_arguments_that_do_not_fit_lose_no_event(logger: logging.Logger, events: Events) -> None:
    logger.info("%d orders", "three")
    logger.info("%s", Unprintable())
    logger.info(Unprintable())
    assert [event["severity"] for event in events()] == ["INFO"] * 3
    assert "%d orders" in events()[0]["message"]


def test_an_exception_has_the_form_that_error_reporting_groups(
    logger: logging.Logger, events: Events, rf: RequestFactory
) -> None:
    fail(logger, logging.ERROR, extra={"request": rf.post("/orders"), "status_code": 500})
    [event] = events()
    assert event["@type"].endswith("v1beta1.ReportedErrorEvent")
    assert event["message"] == "Sums failed"
    assert event["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert event["stack_trace"].endswith("ZeroDivisionError: by zero")
    assert event["serviceContext"] == {"service": "web", "version": "v7"}
    assert event["context"] == {
        "httpRequest": {"method": "POST", "url": "/orders", "responseStatusCode": 500}
    }


def test_an_exception_below_error_is_shown_but_not_reported(logger: logging.Logger, events: Events) -> None:
    fail(logger, logging.WARNING)
    assert "ZeroDivisionError" in events()[0]["stack_trace"]
    assert "@type" not in events()[0]


def test_exc_info_without_an_exception_is_a_plain_event(logger: logging.Logger, events: Events) -> None:
    logger.error("x", exc_info=True)  # noqa: LOG014  the case under test
    assert "stack_trace" not in events()[0]


def test_a_request_shows_method_path_and_status_and_nothing_private(
    logger: logging.Logger, events: Events, rf: RequestFactory
) -> None:
    request = rf.post("/orders?token=s3cret", {"card": "4111"}, headers={"Authorization": "Bearer s3cret"})
    logger.error("Bad", extra={"request": request, "status_code": 400})
    [event] = events()
    assert event["httpRequest"] == {"requestMethod": "POST", "requestUrl": "/orders", "status": 400}
    assert "s3cret" not in json.dumps(event)
    assert "4111" not in json.dumps(event)


# configure() is for a whole process, so it is tried in one.
SITE = """
import logging, os, sys
from django.conf import settings
settings.configure(
    LOGGING_CONFIG="apps.appengine.logs.configure", LOGGING={LOGGING}, ROOT_URLCONF="__main__",
    SECRET_KEY="x", ALLOWED_HOSTS=["*"], MIDDLEWARE=["apps.appengine.trace.TraceMiddleware"],
)
import django
from django.urls import path
django.setup()

def broken(request):
    raise ZeroDivisionError("by zero")

urlpatterns = [path("broken", broken)]
"""


def run(code: str, logging_settings: str = "{'version': 1}", **environ: str) -> tuple[list[Event], str]:
    """The JSON lines on stdout, and stderr, of a process that runs `code` in a small Django site."""
    done = subprocess.run(
        [sys.executable, "-c", SITE.replace("{LOGGING}", logging_settings) + code],
        env={"PATH": "", **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_one_failing_request_is_one_error_on_stdout() -> None:
    code = """
from django.test import Client
header = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
Client(raise_request_exception=False).get("/broken", headers={"traceparent": header})
"""
    [event], stderr = run(code, GOOGLE_CLOUD_PROJECT="p")
    assert event["logger"] == "django.request"
    assert event["httpRequest"] == {"requestMethod": "GET", "requestUrl": "/broken", "status": 500}
    assert event["stack_trace"].endswith("ZeroDivisionError: by zero")
    assert event[f"{CLOUD}/trace"] == f"projects/p/traces/{'a' * 32}"
    assert stderr == ""


def test_gunicorn_and_django_security_go_through_once_each() -> None:
    code = """
from gunicorn.config import Config
from gunicorn.glogging import Logger
from apps.appengine import logs
gunicorn = Logger(Config())  # as in a worker: gunicorn has its handlers before the application is loaded
logs.configure({})
gunicorn.exception("Error handling request")
logging.getLogger("django.security.DisallowedHost").error("Invalid host")
logging.getLogger("django.server").info("GET /")
"""
    events, stderr = run(code)
    assert [event["logger"] for event in events] == [
        "gunicorn.error",
        "django.security.DisallowedHost",
        "django.server",
    ]
    assert stderr == ""


def test_log_level_comes_from_the_environment_and_logging_lays_over_it() -> None:
    code = """
for name in "a", "b":
    logging.getLogger(name).debug(name)
    logging.getLogger(name).warning(name)
"""
    events, _ = run(code, "{'loggers': {'b': {'level': 'DEBUG'}}}", LOG_LEVEL="warning")
    assert [(event["logger"], event["severity"]) for event in events] == [
        ("a", "WARNING"),
        ("b", "DEBUG"),
        ("b", "WARNING"),
    ]


def test_a_terminal_gets_plain_lines_unless_this_is_a_server() -> None:
    code = """
from apps.appengine import logs
controller, terminal = os.openpty()
sys.stderr = os.fdopen(terminal, "w")
logs.configure({})
logging.getLogger("shop").info("3 orders")
os.environ["GAE_ENV"] = "standard"
logs.configure({})
logging.getLogger("shop").info("4 orders")
print(os.read(controller, 1000).decode(), file=sys.__stderr__)
"""
    events, stderr = run(code)
    assert "INFO     shop: 3 orders" in stderr
    assert "4 orders" not in stderr
    assert [event["message"] for event in events] == ["4 orders"]
