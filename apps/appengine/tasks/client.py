"""The process's Cloud Tasks client.

Importing it takes 0.4 s, so the backend does that late. Warmup opens it.
"""

import os
from functools import cache

import grpc
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.api_core.timeout import ConstantTimeout
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import (
    CloudTasksGrpcTransport,
)

# Short, because an API request waits for it: seconds for one call, and for all of them.
CALL_TIMEOUT = 1.5
TOTAL_TIMEOUT = 4.0

TRANSIENT = if_exception_type(
    exceptions.ServiceUnavailable,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.ResourceExhausted,
    exceptions.Aborted,
)
RETRY = Retry(predicate=TRANSIENT, initial=0.05, maximum=1.0, multiplier=2.0, timeout=TOTAL_TIMEOUT)


def client() -> tasks_v2.CloudTasksClient:
    """The client: for Google, or for what CLOUD_TASKS_EMULATOR_HOST ("host:port") names."""
    return _client(os.environ.get("CLOUD_TASKS_EMULATOR_HOST", ""))


@cache
def _client(emulator: str) -> tasks_v2.CloudTasksClient:
    if not emulator:
        return tasks_v2.CloudTasksClient()
    return tasks_v2.CloudTasksClient(
        transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(emulator))
    )


# gRPC channels do not survive a fork: a gunicorn worker makes its own on first use.
os.register_at_fork(after_in_child=_client.cache_clear)


def create(queue_path: str, task: tasks_v2.Task) -> None:
    """Create `task`, trying again while Cloud Tasks is unwell. One that exists already is success.

    A named task makes that safe: after an answer that got lost, the next call finds it there.
    Raises google.api_core.exceptions.GoogleAPIError or google.auth.exceptions.GoogleAuthError.
    """
    try:
        client().create_task(
            tasks_v2.CreateTaskRequest(parent=queue_path, task=task),
            retry=RETRY,
            timeout=ConstantTimeout(CALL_TIMEOUT),  # type: ignore[no-untyped-call]  # api_core is half typed
        )
    except exceptions.AlreadyExists:
        return
