"""What Cloud Tasks refuses, with the codes it refuses it with.

https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks and
https://cloud.google.com/tasks/docs/quotas#limits
"""

import re
from typing import Any

import grpc

from apps.appengine.local.refusals import Refused, invalid

MAX_SCHEDULE = 30 * 86400.0  # seconds ahead
MAX_APP_ENGINE_BODY = 100 * 1024  # bytes
MAX_TASK = 1024 * 1024  # bytes, with headers and all
MAX_URL = 2083
DEADLINES = {"app_engine_http_request": (15.0, 86415.0), "http_request": (15.0, 1800.0)}  # seconds
DEFAULT_DEADLINE = 600  # seconds
BODY_METHODS = {"app_engine_http_request": {"POST", "PUT"}, "http_request": {"POST", "PUT", "PATCH"}}

_QUEUE_NAME = re.compile(r"(projects/[A-Za-z0-9:.-]+/locations/[A-Za-z0-9-]+)/queues/([A-Za-z0-9-]{1,100})")
_TASK_NAME = re.compile(rf"({_QUEUE_NAME.pattern})/tasks/([A-Za-z0-9_-]{{1,500}})")
_LOCATION_NAME = re.compile(r"projects/[A-Za-z0-9:.-]+/locations/[A-Za-z0-9-]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token


def queue_id(name: str) -> str:
    """The last part of a queue's name."""
    if not (match := _QUEUE_NAME.fullmatch(name)):
        raise invalid(f"Not a queue name: '{name}'. Expected projects/P/locations/L/queues/QUEUE.")
    return match[2]


def task_id(name: str) -> tuple[str, str]:
    """The queue and the id in a task's name."""
    if not (match := _TASK_NAME.fullmatch(name)):
        raise invalid(
            f"Not a task name: '{name}'. Expected projects/P/locations/L/queues/QUEUE/tasks/TASK, "
            "TASK being 1 to 500 letters, digits, hyphens and underscores."
        )
    return match[3], match[4]


def location(name: str) -> None:
    """Check the parent of queues."""
    if not _LOCATION_NAME.fullmatch(name):
        raise invalid(f"Not a location: '{name}'. Expected projects/P/locations/L.")


def new_task(task: Any, parent: str, now: float, *, signs: bool = False) -> None:
    """Check the task of a CreateTask call; raises Refused. `signs`: OIDC tokens can be made."""
    target = task.WhichOneof("message_type")
    if target is None:
        raise invalid("The task has neither app_engine_http_request nor http_request.")
    if task.name:
        task_id(task.name)
        if not task.name.startswith(f"{parent}/tasks/"):
            raise invalid(f"The task name '{task.name}' is not under the queue '{parent}'.")
    _schedule(task, now)
    _deadline(task, target)
    request = getattr(task, target)
    _request(request, target)
    _headers(request.headers)
    if target == "http_request":
        _authorization(request, signs=signs)
    if task.ByteSize() > MAX_TASK:
        raise invalid(f"Task size too large: {task.ByteSize()} bytes; the most is {MAX_TASK}.")


def _schedule(task: Any, now: float) -> None:
    schedule = task.schedule_time
    if not 0 <= schedule.nanos < 10**9:
        raise invalid("schedule_time is not a valid Timestamp.")
    if schedule.seconds + schedule.nanos / 1e9 > now + MAX_SCHEDULE:
        raise invalid("schedule_time is more than 30 days ahead.")


def _deadline(task: Any, target: str) -> None:
    least, most = DEADLINES[target]
    seconds = task.dispatch_deadline.seconds + task.dispatch_deadline.nanos / 1e9
    default = not task.HasField("dispatch_deadline") or (target == "app_engine_http_request" and not seconds)
    if not default and not least <= seconds <= most:
        raise invalid(f"dispatch_deadline is {seconds:g} s; it must be from {least:g} to {most:g} s.")


def _request(request: Any, target: str) -> None:
    if target == "http_request":
        _url(request.url)
    else:
        _relative_uri(request.relative_uri)
        if len(request.body) > MAX_APP_ENGINE_BODY:
            size = len(request.body)
            raise invalid(
                f"Task size too large: the body has {size} bytes; the most is {MAX_APP_ENGINE_BODY}."
            )
    method = method_name(request)
    if request.body and method not in BODY_METHODS[target]:
        raise invalid(f"A body is not allowed with {method}.")


def method_name(request: Any) -> str:
    """The HTTP method of either target; POST when none is given."""
    value = request.http_method
    known = request.DESCRIPTOR.fields_by_name["http_method"].enum_type.values_by_number
    if value not in known:
        raise invalid(f"{value} is not an HttpMethod.")
    return str(known[value].name) if value else "POST"


def _relative_uri(uri: str) -> None:
    if uri and not re.fullmatch(rf"/[^\s#]{{0,{MAX_URL - 1}}}", uri):
        raise invalid(f"relative_uri must begin with / and have no spaces and at most {MAX_URL} characters.")


def _url(url: str) -> None:
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s]*", url) or len(url) > MAX_URL:
        raise invalid(f"url must begin with http:// or https:// and have at most {MAX_URL} characters.")


def _headers(headers: Any) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise invalid(f"'{name}' is not the name of a header.")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise invalid(f"The header {name} has a control character in its value.")


def _authorization(request: Any, *, signs: bool) -> None:
    """A task sent without its token would only mislead."""
    wanted = request.WhichOneof("authorization_header")
    if wanted and not (signs and wanted == "oidc_token"):
        raise Refused(
            grpc.StatusCode.UNIMPLEMENTED,
            f"{wanted}: the local queue server has no key to sign it with. `TASKS_TARGET=http make run` has "
            "one for OIDC tokens; else use the App Engine target, or an HTTP target without a token.",
        )
    if wanted and not request.oidc_token.service_account_email:
        raise invalid("oidc_token.service_account_email is empty.")
