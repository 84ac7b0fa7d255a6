"""Structured logs: one JSON line per event, in the fields Cloud Logging understands.

`LOGGING_CONFIG = "apps.appengine.logs.configure"` puts it in place. App Engine and Cloud Run parse
lines on stdout (https://cloud.google.com/logging/docs/structured-logging), so no logging client is
needed. On a terminal the same events are plain readable lines on stderr.

Request bodies, headers and query strings are never part of an event.
"""

import json
import logging
import logging.config
import os
import sys
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest

from . import trace

ERROR_EVENT = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
# What every record carries; anything else on one came through `extra`.
STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "request", "status_code", "labels"}


def configure(settings: dict[str, Any]) -> None:
    """Set up logging; called by Django with settings.LOGGING, which must not be empty (Django skips it then).

    LOGGING is a `logging.config.dictConfig` dictionary laid over the one below, e.g.
    {"loggers": {"django.db.backends": {"level": "DEBUG"}}}. LOG_LEVEL (default INFO) is the level of
    the root.
    """
    base = configuration()
    merged = {**base, **settings, "loggers": {**base["loggers"], **settings.get("loggers", {})}}
    logging.config.dictConfig(merged)


def configuration() -> dict[str, Any]:
    """One handler on the root; the loggers that Django and gunicorn give handlers of their own lose them."""
    plain = is_terminal()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "cloud": {"()": CloudLoggingFormatter},
            "plain": {"format": "%(asctime)s %(levelname)-8s %(name)s: %(message)s", "datefmt": "%H:%M:%S"},
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr" if plain else "ext://sys.stdout",
                "formatter": "plain" if plain else "cloud",
            }
        },
        "root": {"level": os.environ.get("LOG_LEVEL", "INFO").upper(), "handlers": ["console"]},
        "loggers": {
            "django": {"handlers": [], "propagate": True},  # and with it django.server, its child
            "gunicorn.error": {"handlers": [], "propagate": True},
        },
    }


def is_terminal() -> bool:
    """Somebody is watching: not a server in the cloud, not a process of the local runtime."""
    return sys.stderr.isatty() and not (os.environ.get("GAE_ENV") or os.environ.get("LOCAL_RUNTIME"))


class CloudLoggingFormatter(logging.Formatter):
    """A record as one line of JSON. Never raises: a log call must not break what it reports on.

    Fields given through `extra` become fields of the jsonPayload (the event's own fields win over one
    of the same name); `extra={"labels": {...}}` become labels of the entry.
    """

    def __init__(self) -> None:
        super().__init__()
        self.project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        self.service = service()

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in STANDARD}
        event = self.event(record)
        try:
            return json.dumps(extra | event, default=text, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            # A key that is no string, a cycle, a NaN: such values go as text.
            return json.dumps({name: text(value) for name, value in extra.items()} | event, default=text)

    def event(self, record: logging.LogRecord) -> dict[str, Any]:
        """The record's own fields, without those given through `extra`."""
        return {
            "severity": severity(record.levelno),
            "message": message(record),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "logger": record.name,
            "logging.googleapis.com/sourceLocation": {
                "file": record.pathname,
                "line": str(record.lineno),
                "function": record.funcName or "",
            },
            **self.trace(record),
            **labels(record),
            **http_request(record),
            **self.error(record),
        }

    def trace(self, record: logging.LogRecord) -> dict[str, Any]:
        """The current trace, or that of the record's request once its middleware has left."""
        found = trace.current() or getattr(getattr(record, "request", None), "trace", None)
        if found is None:
            return {}
        return {
            "logging.googleapis.com/trace": f"projects/{self.project}/traces/{found.trace_id}",
            "logging.googleapis.com/spanId": found.span_id,
            "logging.googleapis.com/trace_sampled": found.sampled,
        }

    def error(self, record: logging.LogRecord) -> dict[str, Any]:
        """The traceback; from ERROR upwards in the form that Error Reporting groups.

        https://cloud.google.com/error-reporting/docs/formatting-error-messages
        """
        if not record.exc_info or record.exc_info[0] is None:
            return {}
        event: dict[str, Any] = {"stack_trace": self.formatException(record.exc_info)}
        if record.levelno >= logging.ERROR:
            event |= {"@type": ERROR_EVENT, "serviceContext": self.service}
            if request := http_request(record).get("httpRequest"):
                names = {"requestMethod": "method", "requestUrl": "url", "status": "responseStatusCode"}
                event["context"] = {"httpRequest": {names[name]: value for name, value in request.items()}}
        return event


def service() -> dict[str, str]:
    """The service and the version that run here, on App Engine or Cloud Run."""
    environ = os.environ
    return {
        "service": environ.get("GAE_SERVICE") or environ.get("K_SERVICE") or "default",
        "version": environ.get("GAE_VERSION") or environ.get("K_REVISION") or "",
    }


def severity(level: int) -> str:
    """The LogSeverity at or below a Python level."""
    for name in ("CRITICAL", "ERROR", "WARNING", "INFO"):
        if level >= getattr(logging, name):
            return name
    return "DEBUG"


def message(record: logging.LogRecord) -> str:
    """The record's message, or its unfilled template where the arguments do not fit."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  whatever a __str__ or a mismatched % raises
        return f"{text(record.msg)} {text(record.args)}"


def labels(record: logging.LogRecord) -> dict[str, Any]:
    """The entry's labels, texts both sides."""
    given = getattr(record, "labels", None)
    if not isinstance(given, dict):
        return {}
    return {"logging.googleapis.com/labels": {text(name): text(value) for name, value in given.items()}}


def http_request(record: logging.LogRecord) -> dict[str, dict[str, Any]]:
    """Method, path and status where the record carries Django's request (runserver's has a socket there)."""
    request = getattr(record, "request", None)
    if not isinstance(request, HttpRequest):
        return {}
    found: dict[str, Any] = {"requestMethod": request.method, "requestUrl": request.path}
    if (status := getattr(record, "status_code", None)) is not None:
        found["status"] = status
    return {"httpRequest": found}


def text(value: object) -> str:
    """The value as text, whatever its __str__ does."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001  anything may come out of foreign code
        return f"<{type(value).__name__} that cannot be shown>"
