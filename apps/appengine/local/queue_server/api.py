"""The gRPC service google.cloud.tasks.v2.CloudTasks, for the unmodified google-cloud-tasks client.

https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2
"""

import base64
import binascii
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc
import grpc.aio
from google.cloud.tasks_v2 import types
from google.protobuf import empty_pb2
from google.protobuf.message import DecodeError

from apps.appengine.local.refusals import Refused, invalid

from . import store, validate
from .messages import queue_message, stamp, task_message
from .runner import Runner

SERVICE = "google.cloud.tasks.v2.CloudTasks"
MAX_TASK_PAGE = 1000
MAX_QUEUE_PAGE = 9800

Call = Callable[[Any], Awaitable[Any]]


class CloudTasks:
    """The calls, by their names. Each takes the request message and returns the response message."""

    def __init__(self, tasks: store.Store, runners: Mapping[str, Runner], *, signs: bool = False) -> None:
        """`signs`: the server has keys to make OIDC tokens with."""
        self._signs = signs
        self._store = tasks
        self._runners = runners
        self.calls: dict[str, tuple[Any, Call]] = {
            "CreateTask": (types.CreateTaskRequest.pb(), self.create_task),
            "GetTask": (types.GetTaskRequest.pb(), self.get_task),
            "ListTasks": (types.ListTasksRequest.pb(), self.list_tasks),
            "DeleteTask": (types.DeleteTaskRequest.pb(), self.delete_task),
            "RunTask": (types.RunTaskRequest.pb(), self.run_task),
            "GetQueue": (types.GetQueueRequest.pb(), self.get_queue),
            "ListQueues": (types.ListQueuesRequest.pb(), self.list_queues),
            "PauseQueue": (types.PauseQueueRequest.pb(), partial(self.set_state, "PAUSED")),
            "ResumeQueue": (types.ResumeQueueRequest.pb(), partial(self.set_state, "RUNNING")),
            "PurgeQueue": (types.PurgeQueueRequest.pb(), self.purge_queue),
        }

    async def create_task(self, request: Any) -> Any:
        """Answers once the task is on disk."""
        runner, task, now = self._runner(request.parent), request.task, time.time()
        validate.new_task(task, request.parent, now, signs=self._signs)
        task_id = task.name.rpartition("/")[2] or str(uuid.uuid4().int >> 64)
        due = max(now, task.schedule_time.ToMicroseconds() / 1e6)
        added = await self._store.add(
            runner.queue.name,
            task_id,
            named=bool(task.name),
            due=due,
            created=now,
            message=_as_created(task, now),
        )
        if not added:
            raise Refused(
                grpc.StatusCode.ALREADY_EXISTS,
                f"The task name {task_id} is in use, or was recently: names are not free at once.",
            )
        runner.wake()
        return _shown(added, request, request.parent)

    async def get_task(self, request: Any) -> Any:
        """NOT_FOUND also when the task has succeeded or failed for good."""
        _, queue, task_id = self._task(request.name)
        return _shown(_found(await self._store.get(queue, task_id), request.name), request)

    async def list_tasks(self, request: Any) -> Any:
        """Ordered by id; a page token names the last task of the page before."""
        queue = self._runner(request.parent).queue.name
        size = _page_size(request, MAX_TASK_PAGE)
        tasks = await self._store.page(queue, _page_token(request), size + 1)
        token = _token(tasks[size - 1].id) if len(tasks) > size else ""
        shown = [_shown(task, request, request.parent) for task in tasks[:size]]
        return types.ListTasksResponse.pb()(tasks=shown, next_page_token=token)

    async def delete_task(self, request: Any) -> Any:
        """Deletes also a task that is being sent; its name stays taken for a while."""
        _, queue, task_id = self._task(request.name)
        if not await self._store.delete(queue, task_id):
            raise _not_found(request.name)
        return empty_pb2.Empty()

    async def run_task(self, request: Any) -> Any:
        """Answers with the task as it is dispatched, before its target has answered."""
        runner, _, task_id = self._task(request.name)
        return _shown(_found(await runner.run_now(task_id), request.name), request)

    async def get_queue(self, request: Any) -> Any:
        """A queue of queue.yaml, or a disabled one that was in it."""
        return _queue(self._runner(request.name), request.name)

    async def list_queues(self, request: Any) -> Any:
        """All queues, under whatever location is asked for."""
        validate.location(request.parent)
        if request.filter:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, "ListQueues: the local queue server has no filters.")
        size, after = _page_size(request, MAX_QUEUE_PAGE), _page_token(request)
        names = sorted(name for name in self._runners if name > after)
        queues = [_queue(self._runners[name], f"{request.parent}/queues/{name}") for name in names[:size]]
        token = _token(names[size - 1]) if len(names) > size else ""
        return types.ListQueuesResponse.pb()(queues=queues, next_page_token=token)

    async def set_state(self, state: str, request: Any) -> Any:
        """Pause or resume."""
        runner = self._runner(request.name)
        await runner.set_state(state)
        return _queue(runner, request.name)

    async def purge_queue(self, request: Any) -> Any:
        """Deletes all tasks at once, where production may take a minute."""
        runner = self._runner(request.name)
        await runner.purge()
        return _queue(runner, request.name)

    def _runner(self, name: str) -> Runner:
        queue = validate.queue_id(name)
        if queue not in self._runners:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Queue does not exist: '{queue}' is not in queue.yaml.")
        return self._runners[queue]

    def _task(self, name: str) -> tuple[Runner, str, str]:
        _, task_id = validate.task_id(name)
        runner = self._runner(name.rpartition("/tasks/")[0])
        return runner, runner.queue.name, task_id


class Handler(grpc.GenericRpcHandler):
    """Routes calls by name. What CloudTasks does not have is answered UNIMPLEMENTED, by its name."""

    def __init__(self, service: CloudTasks) -> None:
        self._calls = service.calls

    def service(self, handler_call_details: Any) -> Any:
        """Called by grpc for every request."""
        service, _, call = handler_call_details.method.lstrip("/").partition("/")
        if service != SERVICE or call not in self._calls:
            return grpc.unary_unary_rpc_method_handler(partial(_unimplemented, f"{service}/{call}"))
        return grpc.unary_unary_rpc_method_handler(partial(_answer, *self._calls[call]))


async def _answer(kind: Any, call: Call, body: bytes, context: Any) -> bytes:
    try:
        response = await call(kind.FromString(body))
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Not a {kind.DESCRIPTOR.name}.")
    except Refused as refused:
        await context.abort(refused.code, str(refused))
    return bytes(response.SerializeToString())


async def _unimplemented(call: str, _: bytes, context: Any) -> None:
    await context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        f"{call}: the local queue server does not have this call. Its queues come from queue.yaml.",
    )


def _as_created(task: Any, now: float) -> bytes:
    """With the defaults filled in and what is output only taken out."""
    for field in (
        "dispatch_count",
        "response_count",
        "first_attempt",
        "last_attempt",
        "view",
        "schedule_time",
    ):
        task.ClearField(field)
    task.create_time.Clear()
    stamp(task.create_time, float(int(now)))
    if not task.dispatch_deadline.ToNanoseconds():
        task.dispatch_deadline.FromSeconds(validate.DEFAULT_DEADLINE)
    request = getattr(task, task.WhichOneof("message_type"))
    request.http_method = request.http_method or 1  # POST
    return bytes(task.SerializeToString())


def _shown(task: store.Task, request: Any, parent: str = "") -> Any:
    name = f"{parent}/tasks/{task.id}" if parent else request.name
    return task_message(task, name, request.response_view)


def _queue(runner: Runner, name: str) -> Any:
    return queue_message(runner.queue, name, runner.state, runner.purged)


def _found(task: store.Task | None, name: str) -> store.Task:
    if task is None:
        raise _not_found(name)
    return task


def _not_found(name: str) -> Refused:
    return Refused(grpc.StatusCode.NOT_FOUND, f"There is no task '{name}': it may have run.")


def _page_size(request: Any, most: int) -> int:
    if request.page_size < 0:
        raise invalid("page_size is negative.")
    return min(request.page_size or most, most)


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _page_token(request: Any) -> str:
    try:
        return base64.b64decode(request.page_token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid("page_token is not one that this server gave.") from error
