"""What Cloud Tasks is told about one task: its name, its time, and the request to send back to us.

https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2
"""

import hashlib
import os
from datetime import datetime
from typing import Any

from google.cloud import tasks_v2

from apps.appengine import trace, version


def queue_path(options: dict[str, Any], queue_name: str) -> str:
    """The full name of a queue."""
    return f"projects/{options['PROJECT']}/locations/{options['LOCATION']}/queues/{queue_name}"


def build(
    *,
    options: dict[str, Any],
    queue_name: str,
    task_path: str,
    result_id: str,
    run_after: datetime | None,
    body: bytes,
) -> tasks_v2.Task:
    """The Cloud Tasks task, for the target that OPTIONS names."""
    request = {
        "http_method": tasks_v2.HttpMethod.POST,
        "headers": _headers(),
        "body": body,
    } | _TARGETS[options["TARGET"]](options, f"/_tasks/{queue_name}/{task_path}")
    kind = "app_engine_http_request" if options["TARGET"] == "appengine" else "http_request"
    return tasks_v2.Task(
        {
            "name": f"{queue_path(options, queue_name)}/tasks/{_name(result_id)}",
            "schedule_time": run_after,
            kind: request,
        }
    )


def _name(result_id: str) -> str:
    """Begins with a hash: names in sequence make Cloud Tasks slow."""
    return f"{hashlib.sha256(result_id.encode()).hexdigest()[:8]}-{result_id}"


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if current := trace.current():
        headers["traceparent"] = current.traceparent
    return headers


def _app_engine(options: dict[str, Any], path: str) -> dict[str, Any]:  # noqa: ARG001  the same signature as _http
    """To the version that takes traffic when the task is attempted: it may run hours after this one is gone.

    But to this version when its own host was asked: one that takes no traffic yet runs its own tasks.
    """
    routing = {"service": os.environ.get("GAE_SERVICE", ""), "version": version.pinned()}
    return {"relative_uri": path, "app_engine_routing": routing}


def _http(options: dict[str, Any], path: str) -> dict[str, Any]:
    """To a URL, with a token that says who sends it: nobody strips forged headers there."""
    token = {"service_account_email": options["SERVICE_ACCOUNT"], "audience": options["AUDIENCE"]}
    return {"url": options["URL"].rstrip("/") + path, "oidc_token": token}


_TARGETS = {"appengine": _app_engine, "http": _http}
