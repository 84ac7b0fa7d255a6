"""An earlier release and this one side by side, as while one follows the other, and after a rollback.

One PostgreSQL, one Redis, one Datastore, one queue server; each release its own gunicorn. Tasks go to
whichever release takes traffic, as App Engine sends those that name no version: `Traffic` moves it.
"""

import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from apps.appengine.local.preflight import free_port
from tests import datastores, with_services
from tests.conftest import Receiver
from tests.functional.system import ROOT, System, children, command_line, wait_until

# The first release that answers 500 to arguments it does not know. Between it and this one lie a change of
# the schema (Endpoint.headers) and of a task's signature (attempt_manually's put_off), neither of which it
# knows; what came before it would have lost a task with an argument too many.
EARLIER = "667b32d8e845f57d8d05983e335be770e8f9d0fa"
MESSAGES = 5
IN_FLIGHT = 4  # requests that one process has under way to an endpoint for resends
ARRIVES_S = 90.0


@dataclass
class Traffic:
    """Where the queue server believes the application to be: a port that leads to one of the releases."""

    to: str = ""  # the unix socket of its gunicorn
    port: int = 0

    def moves_to(self, system: System) -> None:
        self.to = web_socket(system)


@dataclass
class Two:
    """Both releases, and what has happened while the later one started."""

    old: System
    new: System
    traffic: Traffic
    refused_during_migration: list[Exception]


def web_socket(system: System) -> str:
    """What gunicorn, by the command line that the supervisor gave it, is bound to."""
    [master] = [pid for pid in system.pids("gunicorn") if pid in children(system.process.pid)]
    return command_line(master).partition("--bind unix:")[2].split()[0]


@contextmanager
def taking_traffic() -> Iterator[Traffic]:
    """Forwards each connection, byte for byte, to where traffic goes at the time."""
    traffic = Traffic()

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as application:
                try:
                    application.connect(traffic.to)
                except OSError:
                    return  # nobody there: the connection ends, and the task comes again
                back = threading.Thread(target=pipe, args=(application, self.request), daemon=True)
                back.start()
                pipe(self.request, application)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Forward) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        traffic.port = server.server_address[1]
        yield traffic
        server.shutdown()


def pipe(source: socket.socket, target: socket.socket) -> None:
    """Copy until one of them ends."""
    try:
        while received := source.recv(65_536):
            target.sendall(received)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def queue_server(folder: Path, traffic: Traffic) -> Iterator[str]:
    """The address of a queue server that sends tasks to where traffic goes."""
    address = f"127.0.0.1:{free_port()}"
    options = {
        "--queue-yaml": ROOT / "queue.yaml",
        "--data": folder / "queues.sqlite3",
        "--app": f"http://127.0.0.1:{traffic.port}",
        "--grpc": address,
        "--grace": 1,
    }
    command = [sys.executable, "-m", "apps.appengine.local.queue_server"]
    arguments = [str(part) for option in options.items() for part in option]
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            with_services.wait_for_port(int(address.rpartition(":")[2]), process)
            yield address
        finally:
            process.terminate()


def earlier_release(folder: Path) -> Path:
    """Its files. Skips where they are not to be had; fails so in CI, which has the whole history."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        without("there is no git repository")
    archive = ["git", "-C", str(ROOT), "archive", EARLIER]
    packed = subprocess.run(archive, capture_output=True, check=False)
    if packed.returncode:
        without(f"this clone does not hold commit {EARLIER[:7]}")
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def without(cause: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(cause, pytrace=False)
    pytest.skip(f"{cause}: an earlier release cannot be run")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    """The earlier release, in use; then this one, which migrates the database beneath it."""
    earlier = earlier_release(tmp_path / "earlier")
    with ExitStack() as stack:
        try:
            shared = stack.enter_context(with_services.postgresql())
            shared |= stack.enter_context(with_services.redis())
        except with_services.ServiceMissing as missing:
            without(str(missing))
        traffic = stack.enter_context(taking_traffic())
        datastore = stack.enter_context(datastores.running(datastores.EMBEDDED, ROOT / "index.yaml"))
        shared |= {
            "CLOUD_TASKS_EMULATOR_HOST": stack.enter_context(queue_server(tmp_path, traffic)),
            "DATASTORE_EMULATOR_HOST": datastore.host,
            "MEDIA_ROOT": str(tmp_path / "media"),
            "WAYBILL_RETRY_SCHEDULE": "0,1,2,5,5,5",
        }
        old, new = System(tmp_path / "old", **shared), System(tmp_path / "new", **shared)
        old.root = earlier
        stack.callback(old.stop)
        old.start()
        traffic.moves_to(old)
        application = old.call("POST", "/app", {"name": "while the schema changes"})["id"]
        stack.callback(new.stop)
        refused = meanwhile(
            lambda: old.call("POST", f"/app/{application}/endpoint", {"url": "http://127.0.0.1:9/"}),
            new.start,
        )
        yield Two(old, new, traffic, refused)


def meanwhile(again_and_again: Callable[[], Any], work: Callable[[], None]) -> list[Exception]:
    """What the first of the two raised while the second one ran."""
    raised: list[Exception] = []
    done = Event()

    def repeat() -> None:
        while not done.wait(0.1):
            try:
                again_and_again()
            except OSError as error:
                raised.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return raised


def post(system: System, application: str, event_type: str = "any") -> str:
    body = {"eventType": event_type, "payload": {"n": 1}}
    accepted: str = system.call("POST", f"/app/{application}/msg", body)["id"]
    return accepted


def resend(system: System, application: str, message: str, endpoint: str) -> None:
    system.call("POST", f"/app/{application}/msg/{message}/endpoint/{endpoint}/resend")


def attempts(system: System, application: str, message: str) -> list[dict[str, Any]]:
    page = system.call("GET", f"/app/{application}/attempt/msg/{message}?limit=250")
    found: list[dict[str, Any]] = page["data"]
    return found


def attempted_by(system: System, message: str) -> int:
    """How many attempts of the message this release made, by its log."""
    return sum(f"Attempt of {message}" in line for line in list(system.output))


def test_every_task_of_one_release_runs_on_the_other_and_nothing_is_lost(
    two: Two, receiver: Receiver
) -> None:
    assert two.refused_during_migration == [], "the old one works while the schema changes"
    application = two.old.call("POST", "/app", {"name": "shared"})["id"]
    # Inserted by the release that knows nothing of the new column, and by the one that does.
    plain = {"url": f"{receiver.url}/plain"}
    with_headers = {"url": f"{receiver.url}/headers", "headers": {"X-Tenant": "7", "X-Key": "opensesame"}}
    endpoints = [
        system.call("POST", f"/app/{application}/endpoint", body)["id"]
        for system, body in ((two.old, plain), (two.new, with_headers))
    ]

    for posts, runs in ((two.old, two.new), (two.new, two.old)):
        two.traffic.moves_to(runs)
        one_posts_and_the_other_runs(posts, runs, application, endpoints)
        sent = [request.headers for request in receiver.requests if request.path == "/headers"]
        knows = {"opensesame"} if runs is two.new else {None}
        assert {headers.get("x-key") for headers in sent[-MESSAGES - 1 :]} == knows

    # The old one still works on the row whose column it does not know.
    path = f"/app/{application}/endpoint/{endpoints[1]}"
    assert two.old.call("GET", path)["url"] == f"{receiver.url}/headers"
    shown = {"headers": {"X-Tenant": "7"}, "sensitive": ["X-Key"]}
    assert two.new.call("GET", f"{path}/headers") == shown
    assert not [line for system in (two.old, two.new) for line in system.output if "opensesame" in line]

    a_resend_that_was_put_off_waits_for_the_release_that_knows_its_arguments(two, receiver)


def one_posts_and_the_other_runs(posts: System, runs: System, application: str, endpoints: list[str]) -> None:
    """Messages, and a resend to each endpoint: all arrive, made by the one, listed by both."""
    messages = [post(posts, application) for _ in range(MESSAGES)]
    for endpoint in endpoints:
        resend(posts, application, messages[0], endpoint)
    expected = dict.fromkeys(messages, len(endpoints)) | {messages[0]: 2 * len(endpoints)}

    def made() -> dict[str, int]:
        return {message: attempted_by(runs, message) for message in messages}

    assert wait_until(lambda: made() == expected, ARRIVES_S), made()
    assert not any(attempted_by(posts, message) for message in messages)
    for message in messages:
        listed = attempts(posts, application, message)
        assert listed == attempts(runs, application, message)
        assert [one["responseStatusCode"] for one in listed] == [200] * expected[message]


def a_resend_that_was_put_off_waits_for_the_release_that_knows_its_arguments(
    two: Two, receiver: Receiver
) -> None:
    released, resends = Event(), 8

    def hang(handler: Any) -> None:
        released.wait(300)
        handler.send_response(200)
        handler.send_header("content-length", "0")
        handler.end_headers()

    application = two.new.call("POST", "/app", {"name": "hanging"})["id"]
    url = f"{receiver.url}/hanging"
    endpoint = two.new.call("POST", f"/app/{application}/endpoint", {"url": url})["id"]
    two.traffic.moves_to(two.new)
    message = post(two.new, application)
    assert wait_until(lambda: len(attempts(two.new, application, message)) == 1, ARRIVES_S)
    receiver.answers["/hanging"] = [hang] * 100
    try:
        for _ in range(resends):
            resend(two.new, application, message, endpoint)
        assert wait_until(lambda: receiver.paths().count("/hanging") == 1 + IN_FLIGHT, ARRIVES_S)
        two.traffic.moves_to(two.old)
        refused = "does not take these arguments here"
        assert wait_until(lambda: any(refused in line for line in list(two.old.output)), ARRIVES_S)
        assert attempted_by(two.old, message) == 0, "it knows not what it was asked"
        two.traffic.moves_to(two.new)
    finally:
        released.set()
    assert wait_until(lambda: len(attempts(two.new, application, message)) == 1 + resends, ARRIVES_S)
    listed = attempts(two.new, application, message)
    assert [one["triggerType"] for one in listed] == [1] * resends + [0]
    assert listed == attempts(two.old, application, message)
