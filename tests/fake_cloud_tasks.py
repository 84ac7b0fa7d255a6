"""A gRPC server that takes CreateTask calls as Cloud Tasks does, and fails when a test tells it to.

For faults only: the local queue server (apps.appengine.local.queue_server) is the one that behaves.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.cloud import tasks_v2


class FakeCloudTasks:
    """Remembers every call and, by name, every task created."""

    def __init__(self) -> None:
        self.address = ""
        self.calls: list[tasks_v2.CreateTaskRequest] = []
        self.tasks: dict[str, tasks_v2.Task] = {}
        self.faults: list[grpc.StatusCode] = []  # One for each coming call, used up.
        self.lose_answers = False  # Faults come after the task was created.
        self.delay = 0.0  # seconds before each answer

    @property
    def only_task(self) -> tasks_v2.Task:
        """The one task there is."""
        (task,) = self.tasks.values()
        return task

    def create_task(self, request: tasks_v2.CreateTaskRequest, context: Any) -> tasks_v2.Task:
        """The CreateTask method."""
        self.calls.append(request)
        time.sleep(self.delay)
        if self.faults and not self.lose_answers:
            context.abort(self.faults.pop(0), "told to fail")
        if request.task.name in self.tasks:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "the task exists")
        self.tasks[request.task.name] = request.task
        if self.faults:
            context.abort(self.faults.pop(0), "the answer got lost")
        return request.task


@contextmanager
def serve() -> Iterator[FakeCloudTasks]:
    """A running server on a free port of this machine."""
    fake = FakeCloudTasks()
    handler = grpc.unary_unary_rpc_method_handler(
        fake.create_task,
        request_deserializer=tasks_v2.CreateTaskRequest.deserialize,
        response_serializer=tasks_v2.Task.serialize,
    )
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("google.cloud.tasks.v2.CloudTasks", {"CreateTask": handler})]
    )
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield fake
    finally:
        server.stop(grace=None).wait()
