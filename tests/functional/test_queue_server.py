"""The queue server as a process, called by the real client, dispatching to a real receiver."""

import contextlib
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.tasks_v2 import CloudTasksClient, Queue, Task
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf import duration_pb2, timestamp_pb2

ROOT = Path(__file__).parents[2]
LOCATION = "projects/p/locations/l"
QUEUES = """
queue:
- {name: plain, rate: 500/s, bucket_size: 100}
- {name: delayed, rate: 500/s, bucket_size: 100}
- {name: failing, rate: 100/s, bucket_size: 10, retry_parameters: {
    task_retry_limit: 3, min_backoff_seconds: 0.2, max_backoff_seconds: 10, max_doublings: 1}}
- {name: both-limits, rate: 100/s, retry_parameters: {
    task_retry_limit: 1, task_age_limit: 1s, min_backoff_seconds: 0.25, max_backoff_seconds: 0.25}}
- {name: overloaded, rate: 100/s, bucket_size: 10, retry_parameters: {task_retry_limit: 0}}
- {name: pausing, rate: 100/s}
- {name: limited, rate: 10/s, bucket_size: 3}
- {name: narrow, rate: 500/s, bucket_size: 100, max_concurrent_requests: 2}
- {name: listed, rate: 5/m, bucket_size: 7, max_concurrent_requests: 9, target: v2.worker, retry_parameters: {
    task_retry_limit: 4, task_age_limit: 2h, min_backoff_seconds: 3, max_doublings: 2}}
- {name: purged, rate: 100/s}
- {name: shown, rate: 100/s}
- {name: escaped, rate: 100/s}
- {name: hourly, rate: 1/h, bucket_size: 2}
"""


@dataclass
class Received:
    """One request that reached the receiver."""

    at: float
    path: str
    headers: Any
    body: bytes


@dataclass
class Receiver:
    """An application: answers /status/N with N, /slow/S after S seconds, all else with 200."""

    requests: list[Received] = field(default_factory=list)
    most_at_once: dict[str, int] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def to(self, queue: str) -> list[Received]:
        return [one for one in self.requests if one.headers["X-AppEngine-QueueName"] == queue]

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        queue = handler.headers.get("X-AppEngine-QueueName", "")
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._lock:
            self.requests.append(Received(time.time(), handler.path, handler.headers, body))
            self._open[queue] = self._open.get(queue, 0) + 1
            self.most_at_once[queue] = max(self._open[queue], self.most_at_once.get(queue, 0))
        _, kind, value, *_ = (*handler.path.split("/"), "", "")
        time.sleep(float(value) if kind == "slow" else 0)
        with self._lock:
            self._open[queue] -= 1
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server was killed meanwhile
            handler.send_response(int(value) if kind == "status" else 200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Server:
    """The queue server in a folder of its own."""

    folder: Path
    app: str
    process: subprocess.Popen[bytes] | None = None
    channel: Any = None

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "apps.appengine.local.queue_server"),
            *("--queue-yaml", str(self.folder / "queue.yaml"), "--data", str(self.folder / "tasks.sqlite3")),
            *("--port-file", str(self.folder / "port"), "--app", self.app),
        ]

    def start(self, queues: str = QUEUES) -> None:
        (self.folder / "queue.yaml").write_text(queues)
        (self.folder / "port").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=ROOT, stdout=log, stderr=log)
        wait_until((self.folder / "port").exists, 20)
        self.port = (self.folder / "port").read_text()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=self.channel))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(number)
        self.channel.close()
        return self.process.wait(20)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def page(self, path: str = "", *, post: bool = False, **headers: str) -> str:
        wait_until(lambda: "page on " in self.log(), 5)
        base = self.log().rpartition("page on ")[2].split()[0]
        request = urllib.request.Request(base + path, headers=headers, data=b"" if post else None)
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.read().decode()

    def create(self, queue: str, uri: str = "/", **task: Any) -> Task:
        request = {"relative_uri": uri, **task.pop("request", {})}
        task = {"app_engine_http_request": request, **task}
        if name := task.pop("name", None):
            task["name"] = f"{LOCATION}/queues/{queue}/tasks/{name}"
        return self.client.create_task(parent=f"{LOCATION}/queues/{queue}", task=task)

    def is_gone(self, task: Task) -> bool:
        try:
            self.client.get_task(name=task.name)
        except exceptions.NotFound:
            return True
        return False


def wait_until(true: Callable[[], object], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "did not come true in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    """Shared by the tests of this module: each one keeps to a queue of its own."""
    server = Server(tmp_path_factory.mktemp("queue_server"), receiver.url)
    server.start()
    yield server
    assert server.stop() == 0, server.log()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Server, Receiver]]:
    """A server and a receiver that this test may kill."""
    with receiving() as receiver:
        server = Server(tmp_path, receiver.url)
        server.start()
        yield server, receiver
        if server.process and server.process.poll() is None:
            server.stop(signal.SIGKILL)


def timestamp(seconds: float) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(round(seconds * 1e6))
    return stamp


def seconds(value: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromMilliseconds(round(value * 1000))
    return duration


def test_a_delayed_task_never_runs_before_its_schedule_time(server: Server, receiver: Receiver) -> None:
    due = time.time() + 1.5
    server.create("delayed", schedule_time=timestamp(due))
    server.create("delayed", "/at-once")
    wait_until(lambda: len(receiver.to("delayed")) == 2, 4)
    first, second = receiver.to("delayed")
    assert (first.path, second.path) == ("/at-once", "/")
    assert due <= second.at < due + 1.5
    assert float(second.headers["X-AppEngine-TaskETA"]) == pytest.approx(due, abs=1e-5)


def test_a_failing_task_backs_off_and_is_dropped_at_its_retry_limit(
    server: Server, receiver: Receiver
) -> None:
    task = server.create("failing", "/status/500")
    wait_until(lambda: server.is_gone(task), 8)
    attempts = receiver.to("failing")
    gaps = [after.at - before.at for before, after in pairwise(attempts)]
    assert len(attempts) == 4
    # 0.2 s doubles once, then grows by 2 * 0.2 s.
    assert all(gap >= least for gap, least in zip(gaps, [0.2, 0.4, 0.8], strict=True)), gaps
    assert [one.headers["X-AppEngine-TaskRetryCount"] for one in attempts] == ["0", "1", "2", "3"]
    assert [one.headers["X-AppEngine-TaskExecutionCount"] for one in attempts] == ["0", "1", "2", "3"]
    assert [one.headers["X-AppEngine-TaskPreviousResponse"] for one in attempts] == [
        None,
        "500",
        "500",
        "500",
    ]


def test_a_task_is_dropped_only_when_its_retry_and_its_age_limit_are_both_reached(
    server: Server, receiver: Receiver
) -> None:
    task = server.create("both-limits", "/status/500")
    wait_until(lambda: server.is_gone(task), 6)
    attempts = receiver.to("both-limits")
    assert len(attempts) > 2, "the retry limit alone dropped it"
    assert 0.9 <= attempts[-1].at - attempts[0].at < 2.5


def test_a_failed_attempt_shows_on_the_task(server: Server) -> None:
    task = server.create("plain", "/status/404", retry_config={"min_backoff": seconds(60)})
    wait_until(lambda: server.client.get_task(name=task.name).response_count, 5)
    shown = server.client.get_task(name=task.name)
    assert (shown.dispatch_count, shown.response_count) == (1, 1)
    assert shown.last_attempt.response_status.message == "HTTP status code 404"
    assert shown.last_attempt.response_status.code == grpc.StatusCode.NOT_FOUND.value[0]
    # The task's own retry_config overrides the queue's, whose first back-off is 0.1 s.
    assert shown.schedule_time.timestamp() - time.time() > 50


def test_a_paused_queue_dispatches_nothing_until_resumed(server: Server, receiver: Receiver) -> None:
    name = f"{LOCATION}/queues/pausing"
    assert server.client.pause_queue(name=name).state == Queue.State.PAUSED
    server.create("pausing", "/waits")
    forced = server.create("pausing", "/forced")
    time.sleep(0.6)
    assert receiver.to("pausing") == []

    server.client.run_task(name=forced.name)
    wait_until(lambda: server.is_gone(forced), 3)
    assert [one.path for one in receiver.to("pausing")] == ["/forced"], "RunTask runs on a paused queue"

    assert server.client.resume_queue(name=name).state == Queue.State.RUNNING
    wait_until(lambda: len(receiver.to("pausing")) == 2, 3)


def test_a_rate_limited_queue_never_exceeds_its_bucket_and_rate_in_any_window(
    server: Server, receiver: Receiver
) -> None:
    for _ in range(18):
        server.create("limited")
    wait_until(lambda: len(receiver.to("limited")) == 18, 6)
    arrivals = sorted(one.at for one in receiver.to("limited"))
    late = 0.2  # a request may take this long to arrive, and so come closer to the next one
    for first in range(18):
        for last in range(first, 18):
            window = arrivals[last] - arrivals[first] + late
            assert last - first + 1 <= 3 + 10 * window, f"{last - first + 1} in {window:.2f} s"


def test_no_more_requests_are_in_flight_than_the_queue_allows(server: Server, receiver: Receiver) -> None:
    for _ in range(10):
        server.create("narrow", "/slow/0.15")
    wait_until(lambda: len(receiver.to("narrow")) == 10, 6)
    assert receiver.most_at_once["narrow"] == 2


def test_a_name_is_refused_while_it_is_in_use_and_after_it_ran(server: Server, receiver: Receiver) -> None:
    later = timestamp(time.time() + 3600)
    server.create("plain", name="waiting", schedule_time=later)
    with pytest.raises(exceptions.AlreadyExists):
        server.create("plain", name="waiting")

    task = server.create("plain", "/once", name="ran")
    wait_until(lambda: server.is_gone(task), 3)
    with pytest.raises(exceptions.AlreadyExists):
        server.create("plain", "/once", name="ran")
    assert [one.path for one in receiver.to("plain")].count("/once") == 1


def test_a_deleted_task_is_gone_and_its_name_stays_taken(server: Server) -> None:
    task = server.create("plain", name="unwanted", schedule_time=timestamp(time.time() + 3600))
    server.client.delete_task(name=task.name)
    for call in (server.client.get_task, server.client.delete_task, server.client.run_task):
        with pytest.raises(exceptions.NotFound):
            call(name=task.name)
    with pytest.raises(exceptions.AlreadyExists):
        server.create("plain", name="unwanted")


def test_purging_deletes_every_task_of_its_queue_only(server: Server) -> None:
    later = timestamp(time.time() + 3600)
    kept = server.create("plain", schedule_time=later)
    for _ in range(3):
        server.create("purged", schedule_time=later)
    queue = server.client.purge_queue(name=f"{LOCATION}/queues/purged")
    assert list(server.client.list_tasks(parent=queue.name)) == []
    assert abs(queue.purge_time.timestamp() - time.time()) < 5
    assert not server.is_gone(kept)


def test_listing_pages_through_all_tasks_and_hides_bodies_unless_asked(server: Server) -> None:
    later = timestamp(time.time() + 3600)
    created = {
        server.create("listed", schedule_time=later, request={"body": b"secret"}).name for _ in range(5)
    }
    parent = f"{LOCATION}/queues/listed"
    pages = list(server.client.list_tasks(request={"parent": parent, "page_size": 2}).pages)
    assert [len(page.tasks) for page in pages] == [2, 2, 1]
    assert {task.name for page in pages for task in page.tasks} == created
    assert {task.app_engine_http_request.body for page in pages for task in page.tasks} == {b""}
    full = server.client.list_tasks(request={"parent": parent, "response_view": Task.View.FULL})
    assert {task.app_engine_http_request.body for task in full} == {b"secret"}


def test_a_queue_shows_what_queue_yaml_says(server: Server) -> None:
    queue = server.client.get_queue(name=f"{LOCATION}/queues/listed")
    assert queue.rate_limits.max_dispatches_per_second == pytest.approx(5 / 60)
    assert (queue.rate_limits.max_burst_size, queue.rate_limits.max_concurrent_dispatches) == (7, 9)
    assert (queue.retry_config.max_attempts, queue.retry_config.max_doublings) == (5, 2)
    assert queue.retry_config.max_retry_duration.total_seconds() == 7200
    assert queue.app_engine_routing_override.service == "worker"
    assert queue.app_engine_routing_override.version == "v2"
    names = [queue.name for queue in server.client.list_queues(parent="projects/other/locations/there")]
    assert "projects/other/locations/there/queues/default" in names
    assert len(names) == QUEUES.count("name:") + 1


def test_the_application_gets_the_headers_of_app_engine_and_no_forged_ones(
    server: Server, receiver: Receiver
) -> None:
    forged = {
        "X-AppEngine-QueueName": "another",
        "x-appengine-taskretrycount": "7",
        "X-AppEngine-Cron": "true",
        "X-Google-Internal": "1",
        "Host": "elsewhere",
        "User-Agent": "mine",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    task = server.create(
        "plain", "/forged?a=%20b", name="headers", request={"headers": forged, "body": b"\x00hi"}
    )
    wait_until(lambda: server.is_gone(task), 3)
    (got,) = [one for one in receiver.to("plain") if one.path == "/forged?a=%20b"]
    assert got.body == b"\x00hi"
    assert got.headers["X-AppEngine-TaskName"] == "headers"
    assert got.headers["X-AppEngine-TaskRetryCount"] == "0"
    assert got.headers["User-Agent"] == "mine AppEngine-Google; (+http://code.google.com/appengine)"
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["traceparent"] == forged["traceparent"]
    assert got.headers["Host"] != "elsewhere"
    assert not {"X-AppEngine-Cron", "X-Google-Internal", "X-CloudTasks-QueueName"} & set(got.headers)
    assert len(got.headers.get_all("X-AppEngine-QueueName")) == 1


def test_an_http_target_gets_the_headers_of_cloud_tasks(server: Server, receiver: Receiver) -> None:
    request = {
        "url": f"{receiver.url}/http-target",
        "headers": {"X-CloudTasks-QueueName": "forged"},
        "body": b"{}",
    }
    task = server.client.create_task(parent=f"{LOCATION}/queues/plain", task={"http_request": request})
    wait_until(lambda: server.is_gone(task), 3)
    (got,) = [one for one in receiver.requests if one.path == "/http-target"]
    assert got.headers.get_all("X-CloudTasks-QueueName") == ["plain"]
    assert got.headers["X-CloudTasks-TaskName"] == task.name.rpartition("/")[2]
    assert got.headers["User-Agent"] == "Google-Cloud-Tasks"
    assert got.headers["X-AppEngine-QueueName"] is None
    assert got.headers["Content-Type"] is None


def test_an_application_that_answers_503_throttles_its_queue(server: Server) -> None:
    def rates() -> tuple[float, float]:
        (queue,) = [
            one for one in json.loads(server.page("queues.json"))["queues"] if one["name"] == "overloaded"
        ]
        return queue["rate"], queue["effective_rate"]

    assert rates() == (100, 100)
    task = server.create("overloaded", "/status/500")
    wait_until(lambda: server.is_gone(task), 3)
    assert rates() == (100, 100), "a plain failure is no overload"
    server.create("overloaded", "/status/503")
    wait_until(lambda: rates() == (100, 50), 3)


APP = {"app_engine_http_request": {"relative_uri": "/"}}
HTTP = {"http_request": {"url": "http://127.0.0.1:9/"}}


def body(size: int, target: str, **more: str) -> dict[str, Any]:
    return {target: {"body": b"x" * size, **more}}


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ({}, exceptions.InvalidArgument),
        (APP | {"schedule_time": timestamp(time.time() + 31 * 86400)}, exceptions.InvalidArgument),
        (APP | {"dispatch_deadline": seconds(14)}, exceptions.InvalidArgument),
        (APP | {"dispatch_deadline": seconds(86416)}, exceptions.InvalidArgument),
        (HTTP | {"dispatch_deadline": seconds(1801)}, exceptions.InvalidArgument),
        (APP | {"name": "short"}, exceptions.InvalidArgument),
        (APP | {"name": f"{LOCATION}/queues/plain/tasks/a.b"}, exceptions.InvalidArgument),
        (APP | {"name": f"{LOCATION}/queues/plain/tasks/{'x' * 501}"}, exceptions.InvalidArgument),
        (APP | {"name": f"{LOCATION}/queues/delayed/tasks/elsewhere"}, exceptions.InvalidArgument),
        (body(100 * 1024 + 1, "app_engine_http_request"), exceptions.InvalidArgument),
        (body(1024 * 1024, "http_request", url="http://127.0.0.1:9/"), exceptions.InvalidArgument),
        (body(1, "app_engine_http_request", http_method="GET"), exceptions.InvalidArgument),
        ({"app_engine_http_request": {"relative_uri": "no-slash"}}, exceptions.InvalidArgument),
        ({"app_engine_http_request": {"relative_uri": "/a b"}}, exceptions.InvalidArgument),
        ({"app_engine_http_request": {"headers": {"A": "b\r\nC: d"}}}, exceptions.InvalidArgument),
        ({"app_engine_http_request": {"headers": {"A:": "b"}}}, exceptions.InvalidArgument),
        ({"http_request": {"url": "ftp://127.0.0.1/"}}, exceptions.InvalidArgument),
        (
            {"http_request": {"url": "http://127.0.0.1:9/", "oidc_token": {"service_account_email": "a@b"}}},
            exceptions.MethodNotImplemented,
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_task_that_production_refuses_is_refused(server: Server, task: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        server.client.create_task(parent=f"{LOCATION}/queues/plain", task=task)


def test_the_largest_tasks_that_production_takes_are_taken(server: Server) -> None:
    later = timestamp(time.time() + 29.9 * 86400)
    for task in (
        body(100 * 1024, "app_engine_http_request"),
        body(1000 * 1024, "http_request", url="http://127.0.0.1:9/"),
        APP | {"dispatch_deadline": seconds(86415)},
        APP | {"name": f"{LOCATION}/queues/plain/tasks/{'x' * 500}"},
    ):
        server.client.create_task(parent=f"{LOCATION}/queues/plain", task=task | {"schedule_time": later})


def test_an_unknown_queue_is_not_found(server: Server) -> None:
    with pytest.raises(exceptions.NotFound, match=r"queue\.yaml"):
        server.create("unheard-of")
    with pytest.raises(exceptions.NotFound):
        server.client.get_queue(name=f"{LOCATION}/queues/unheard-of")
    with pytest.raises(exceptions.InvalidArgument):
        server.client.get_queue(name="unheard-of")
    with pytest.raises(exceptions.InvalidArgument, match="page_token"):
        server.client.list_tasks(request={"parent": f"{LOCATION}/queues/plain", "page_token": "what?"})


def test_calls_that_change_queues_are_not_implemented_and_say_where_queues_come_from(server: Server) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match=r"CreateQueue.*queue\.yaml"):
        server.client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/new"})
    with pytest.raises(exceptions.MethodNotImplemented, match="GetIamPolicy"):
        server.client.get_iam_policy(request={"resource": f"{LOCATION}/queues/plain"})
    call = server.channel.unary_unary("/google.cloud.tasks.v2.CloudTasks/CreateTask")
    with pytest.raises(grpc.RpcError) as refused:
        call(b"\xff\xff not protobuf")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_the_page_shows_tasks_and_acts_only_on_its_own_posts(server: Server) -> None:
    server.client.pause_queue(name=f"{LOCATION}/queues/shown")
    task = server.create("shown", "/", name="on-the-page")
    assert "queues/shown" in server.page()
    shown = server.page("queues/shown")
    assert "on-the-page" in shown
    assert "paused" in shown

    for origin in ({}, {"Origin": "http://evil.example"}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.page("queues/shown/tasks/on-the-page/delete", post=True, **origin)
        assert refused.value.code == 403
        refused.value.close()
    assert not server.is_gone(task)

    own = {"Origin": server.log().rpartition("page on ")[2].split()[0].rstrip("/")}
    after = server.page("queues/shown/tasks/on-the-page/delete", post=True, **own)
    assert server.is_gone(task)
    assert "No tasks." in after
    assert "running" in server.page("queues/shown/resume", post=True, **own)


def test_the_page_escapes_what_a_target_answers(server: Server) -> None:
    server.client.create_task(
        parent=f"{LOCATION}/queues/escaped",
        task={"http_request": {"url": "http://<script>alert(1)</script>.invalid/"}},
    )
    wait_until(lambda: "Error" in server.page("queues/escaped"), 5)
    assert "<script" not in server.page("queues/escaped")


@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_accepted_tasks_run_after_a_kill_if_the_disk_is_kept(own: tuple[Server, Receiver], disk: str) -> None:
    server, receiver = own
    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(lambda number: server.create("limited", f"/{number}").name, range(30)))
    server.stop(signal.SIGKILL)
    before = {one.path for one in receiver.requests}
    assert len(before) < 30, "all had run: the kill proves nothing"
    if disk == "lost":
        for file in server.folder.glob("tasks.sqlite3*"):
            file.unlink()
    server.start(QUEUES.replace("limited, rate: 10/s", "limited, rate: 200/s"))
    parent = f"{LOCATION}/queues/limited"
    wait_until(lambda: not list(server.client.list_tasks(parent=parent)), 10)
    arrived = {one.path for one in receiver.requests}
    assert len(set(names)) == 30
    assert (arrived == {f"/{number}" for number in range(30)}) is (disk == "kept")


def test_a_task_being_sent_when_the_server_is_killed_is_sent_again(own: tuple[Server, Receiver]) -> None:
    server, receiver = own
    task = server.create("plain", "/slow/0.8")
    wait_until(lambda: receiver.requests, 3)
    server.stop(signal.SIGKILL)
    server.start()
    wait_until(lambda: server.is_gone(task), 5)
    assert [one.headers["X-AppEngine-TaskRetryCount"] for one in receiver.requests] == ["0", "1"]
    assert [one.headers["X-AppEngine-TaskExecutionCount"] for one in receiver.requests] == ["0", "0"]


def test_pause_spent_tokens_names_and_back_off_survive_a_kill(own: tuple[Server, Receiver]) -> None:
    server, receiver = own
    server.client.pause_queue(name=f"{LOCATION}/queues/pausing")
    server.create("pausing")
    for _ in range(3):  # the bucket holds two, and fills by one an hour
        server.create("hourly")
    failed = server.create("plain", "/status/500", name="taken", retry_config={"min_backoff": seconds(60)})
    wait_until(lambda: server.client.get_task(name=failed.name).response_count, 3)
    wait_until(lambda: len(receiver.to("hourly")) == 2, 3)
    server.stop(signal.SIGKILL)
    server.start()
    time.sleep(0.5)
    assert server.client.get_queue(name=f"{LOCATION}/queues/pausing").state == Queue.State.PAUSED
    assert receiver.to("pausing") == []
    assert len(receiver.to("hourly")) == 2
    assert len(receiver.to("plain")) == 1
    with pytest.raises(exceptions.AlreadyExists):
        server.create("plain", name="taken")


def test_sigterm_lets_attempts_end_and_leaves_the_rest_on_disk(own: tuple[Server, Receiver]) -> None:
    server, receiver = own
    for _ in range(3):
        server.create("narrow", "/slow/0.7")
    wait_until(lambda: len(receiver.requests) == 2, 3)
    assert server.stop(signal.SIGTERM) == 0
    assert len(receiver.requests) == 2
    server.start()
    wait_until(lambda: len(receiver.requests) == 3, 3)
    time.sleep(0.3)
    assert len(receiver.requests) == 3, "an attempt that ended in time was made again"


def test_a_queue_that_leaves_queue_yaml_is_disabled_and_keeps_its_tasks(own: tuple[Server, Receiver]) -> None:
    server, receiver = own
    server.create("delayed", schedule_time=timestamp(time.time() + 0.1))
    server.stop(signal.SIGKILL)
    server.start("queue: []")
    server.create("delayed", "/added-while-disabled")
    time.sleep(0.5)
    queue = server.client.get_queue(name=f"{LOCATION}/queues/delayed")
    assert queue.state == Queue.State.DISABLED
    assert receiver.requests == []
    server.stop()
    server.start()
    wait_until(lambda: len(receiver.to("delayed")) == 2, 3)


def test_a_start_that_cannot_be_says_why_in_one_line(own: tuple[Server, Receiver], tmp_path: Path) -> None:
    server, _ = own

    def refused(*arguments: str) -> str:
        ended = subprocess.run(
            [*server.command(), *arguments],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert ended.returncode == 1
        assert ended.stdout == ""
        *noise, said = ended.stderr.splitlines()
        assert all("add_port.cc" in line for line in noise), "only gRPC's own core may say more"
        return said

    assert "another queue server" in refused()
    assert "cannot listen" in refused(
        *("--data", str(tmp_path / "other"), "--grpc", f"127.0.0.1:{server.port}")
    )
    (tmp_path / "queue.yaml").write_text("queue: [{name: odd, rate: fast}]")
    assert "queue 'odd': rate" in refused()
