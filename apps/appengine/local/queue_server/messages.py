"""Rows of the store as messages of the Cloud Tasks API."""

from typing import Any

from google.cloud.tasks_v2 import types

from apps.appengine.queue_yaml import Queue

from .retry import RetryPolicy
from .store import Task

# The plain protobuf classes: proto-plus costs several times as much for each message.
TaskMessage: Any = types.Task.pb()
QueueMessage: Any = types.Queue.pb()
FULL = int(types.Task.View.FULL)
BASIC = int(types.Task.View.BASIC)


def stamp(message: Any, seconds: float | None) -> None:
    """Set a Timestamp field to a Unix time, unless that is None."""
    if seconds is not None:
        message.FromMicroseconds(round(seconds * 1e6))


def task_message(task: Task, name: str, view: int) -> Any:
    """A stored Task as the API shows it; the BASIC view hides the body."""
    message = TaskMessage.FromString(task.message)
    message.name = name
    message.view = FULL if view == FULL else BASIC
    if view != FULL:
        getattr(message, message.WhichOneof("message_type")).ClearField("body")
    stamp(message.schedule_time, task.due)
    message.dispatch_count = task.dispatches
    message.response_count = task.responses
    stamp(message.first_attempt.dispatch_time, task.first_dispatch)
    if task.dispatches:
        _last_attempt(message.last_attempt, task)
    return message


def _last_attempt(attempt: Any, task: Task) -> None:
    stamp(attempt.schedule_time, task.last_scheduled)
    stamp(attempt.dispatch_time, task.last_dispatch)
    stamp(attempt.response_time, task.last_response)
    if task.last_response is not None:
        attempt.response_status.code = task.last_code
        attempt.response_status.message = task.last_error


def queue_message(queue: Queue, name: str, state: str, purged: float | None) -> Any:
    """A queue of queue.yaml as the API shows it."""
    policy = RetryPolicy.of(queue.retry_parameters)
    message = QueueMessage(name=name, state=state)
    limits = message.rate_limits
    limits.max_dispatches_per_second = queue.rate
    limits.max_burst_size = queue.bucket_size
    limits.max_concurrent_dispatches = queue.max_concurrent_requests
    retry = message.retry_config
    retry.max_attempts = -1 if policy.max_attempts is None else policy.max_attempts
    retry.max_doublings = policy.max_doublings
    for field in ("max_retry_duration", "min_backoff", "max_backoff"):
        getattr(retry, field).FromMilliseconds(round(getattr(policy, field) * 1000))
    if queue.target:
        *version, service = queue.target.split(".")
        message.app_engine_routing_override.service = service
        message.app_engine_routing_override.version = "".join(version)
    stamp(message.purge_time, purged)
    return message
