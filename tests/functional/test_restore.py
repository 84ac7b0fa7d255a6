"""A database is lost while the service runs, and restored by the commands of docs/operations.md.

SQL is a real PostgreSQL, dumped, dropped under the running service and restored, beside a Datastore that
keeps its data. Then the other half: the Datastore is lost and restored from an export.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from tests import with_services
from tests.conftest import Receiver
from tests.functional.runbook import block
from tests.functional.system import ROOT, System, add_endpoint, recorded_messages, running, wait_until

DELIVERED_S = 180.0  # a task waits up to a minute after failures, a sweep up to two
# A retry every other second, for as long as the story takes.
SCHEDULE = {"WAYBILL_RETRY_SCHEDULE": ",".join(["0", *["2"] * 200])}
QUEUES = [f"projects/local/locations/local/queues/{name}" for name in ("deliveries", "suspects")]
INTERNAL = 13  # what Cloud Tasks makes of a 500
ALWAYS = 10_000  # more answers than anybody asks for


DUMP, RESTORE = block("Dump SQL by hand"), block("Restore SQL from a dump")
EXPORT, IMPORT = block("The Datastore of a local run").splitlines()
SEND_AGAIN = block("Send again what an endpoint missed", "python")


@dataclass
class Service:
    """The service on PostgreSQL, and a shell beside it as the operator has it."""

    system: System
    folder: Path  # as the repository's own for who types there: it has .venv and .local
    shell: dict[str, str]
    accepted: dict[str, set[str]] = field(default_factory=dict)  # message ids by application

    def type(self, commands: str) -> None:
        """Type lines of the runbook. Raises AssertionError with what they say when one fails."""
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=self.folder,
            env=self.shell,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stderr}"

    def send_again(self, application_id: str, endpoint_id: str, since: datetime) -> None:
        """Run the runbook's script. Raises CalledProcessError."""
        given = {
            "API_KEY": self.system.api_key,
            "SITE": self.system.url,
            "APPLICATION": application_id,
            "ENDPOINT": endpoint_id,
            "SINCE": since.isoformat(),
        }
        subprocess.run([sys.executable, "-c", SEND_AGAIN], env={**self.shell, **given}, check=True)

    def post(self, application_id: str) -> str:
        """Post a message; its id."""
        body = {"eventType": "invoice.paid", "payload": {"n": 1}}
        message_id: str = self.system.call("POST", f"/app/{application_id}/msg", body)["id"]
        self.accepted.setdefault(application_id, set()).add(message_id)
        return message_id

    def refusal(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """The status and the code of a call that must not succeed."""
        with pytest.raises(HTTPError) as refused:
            self.system.call(method, path, body)
        return refused.value.code, json.load(refused.value)["code"]

    def listed(self, application_id: str) -> set[str]:
        """All messages of an application, as the API lists them."""
        return {one["id"] for one in self.system.call("GET", f"/app/{application_id}/msg?limit=250")["data"]}


def shell_in(folder: Path) -> dict[str, str]:
    """Lets the runbook's paths, which are relative to the repository, be typed in `folder`."""
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """With a database of its own, `app`."""
    try:
        program = with_services.find("postgresql").resolve()
    except with_services.ServiceMissing as missing:
        pytest.skip(str(missing))
    with ExitStack() as stack:
        variables = {**stack.enter_context(with_services.postgresql()), "DB_NAME": "app"}
        shell = shell_in(tmp_path) | {
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PGHOST": variables["DB_HOST"],
            "PGPORT": variables["DB_PORT"],
            "PGUSER": variables["DB_USER"],
        }
        subprocess.run(["createdb", "app"], env=shell, check=True)
        system = stack.enter_context(running(tmp_path / ".local", **variables, **SCHEDULE))
        yield Service(system, tmp_path, shell)


def queues(system: System) -> tasks_v2.CloudTasksClient:
    """The real client, connected to the system's queue server."""
    lines = (system.home / "run.env").read_text().splitlines()
    host = dict(line.split("=", 1) for line in lines)["CLOUD_TASKS_EMULATOR_HOST"]
    return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(host)))


def waiting_tasks(system: System) -> list[tasks_v2.Task]:
    client = queues(system)
    return [task for queue in QUEUES for task in client.list_tasks(parent=queue)]


def pause(system: System) -> None:
    for queue in QUEUES:
        queues(system).pause_queue(name=queue)


def resume(system: System) -> None:
    for queue in QUEUES:
        queues(system).resume_queue(name=queue)


def readiness(system: System) -> tuple[int, list[str]]:
    """The status of /readyz and the stores that do not answer."""
    try:
        with urllib.request.urlopen(f"{system.url}/readyz", timeout=30) as answer:
            status, body = answer.status, json.load(answer)
    except HTTPError as refused:
        status, body = refused.code, json.load(refused)
    return status, [name for name, check in body["checks"].items() if not check["ok"]]


def deliveries(service: Service, endpoint_id: str) -> Counter[tuple[str, bool]]:
    """How many an endpoint has of each status, and whether the sweep still looks for them."""
    service.type(EXPORT)
    entities = [json.loads(line) for line in (service.folder / "entities.jsonl").read_text().splitlines()]
    found = [
        entity["properties"]
        for entity in entities
        if entity["key"]["path"][0]["kind"] == "Delivery"
        and entity["key"]["path"][0]["name"].endswith(endpoint_id)
    ]
    return Counter((one["status"]["stringValue"], "stringValue" in one["due"]) for one in found)


def endpoint(system: System, application_id: str, url: str) -> str:
    """One more endpoint of an application; its id."""
    made: str = system.call("POST", f"/app/{application_id}/endpoint", {"url": url})["id"]
    return made


def asked(receiver: Receiver, path: str) -> Counter[str]:
    """How often each message came to a path of the receiver."""
    return Counter(one.headers["webhook-id"] for one in list(receiver.requests) if one.path == path)


def lose_sql(service: Service, app: str) -> None:
    """Drop the database: it is said, nothing is accepted, and tasks wait for another time."""
    system = service.system
    service.type("dropdb --force app")
    assert readiness(system) == (503, ["sql"])
    message = {"eventType": "invoice.paid", "payload": {"n": 1}}
    assert service.refusal("POST", f"/app/{app}/msg", message) == (503, "unavailable")
    assert service.refusal("GET", f"/app/{app}/msg") == (503, "unavailable")
    assert service.refusal("POST", "/app", {"name": "new"}) == (503, "unavailable")
    resume(system)
    assert wait_until(lambda: answers(system) == {INTERNAL}, DELIVERED_S), answers(system)


def answers(system: System) -> set[int]:
    """What the tasks that wait were answered last; 0 stands for one that has no answer yet."""
    return {task.last_attempt.response_status.code for task in waiting_tasks(system)}


def test_a_database_lost_under_the_running_service_is_restored_and_every_message_is_delivered(
    service: Service, receiver: Receiver
) -> None:
    system = service.system
    workers, since = system.web_workers(), datetime.now(UTC)

    # Before the dump: a message that is delivered to one endpoint and fails at the other.
    receiver.answers["/failing"] = [500] * ALWAYS
    app, good = add_endpoint(system, f"{receiver.url}/good")
    failing = endpoint(system, app, f"{receiver.url}/failing")
    before = [service.post(app) for _ in range(5)]
    assert wait_until(lambda: set(before) <= recorded_messages(system, app, good), DELIVERED_S)
    assert wait_until(lambda: set(before) <= set(asked(receiver, "/failing")), DELIVERED_S)

    service.type(DUMP)

    # After it, and so not in it: an endpoint, an application, a resend of its message that waits in its
    # queue. And a message, which is in the Datastore.
    receiver.answers["/late"] = [500] * ALWAYS
    late = endpoint(system, app, f"{receiver.url}/late")
    lost_app, lost = add_endpoint(system, f"{receiver.url}/lost")
    after = service.post(app)
    lost_message = service.post(lost_app)
    assert wait_until(
        lambda: asked(receiver, "/late")[after] and asked(receiver, "/lost")[lost_message], DELIVERED_S
    )
    assert wait_until(lambda: after in recorded_messages(system, app, good), DELIVERED_S)
    pause(system)
    system.call("POST", f"/app/{lost_app}/msg/{lost_message}/endpoint/{lost}/resend")
    resent = asked(receiver, "/lost")

    lose_sql(service, app)
    assert deliveries(service, failing) == {("pending", True): 6}
    pause(system)
    assert deliveries(service, lost) == {("delivered", False): 1}

    service.type(RESTORE)
    assert readiness(system) == (200, [])
    assert service.listed(app) == service.accepted[app], "a refused message is not stored"
    receiver.answers.clear()
    resume(system)

    # New messages, retries of the old ones, and an old one again.
    new = service.post(app)
    assert wait_until(lambda: asked(receiver, "/good")[new], DELIVERED_S)
    assert wait_until(lambda: not waiting_tasks(system), DELIVERED_S), waiting_tasks(system)
    assert deliveries(service, failing) == {("delivered", False): 7}
    assert deliveries(service, good) == {("delivered", False): 7}
    system.call("POST", f"/app/{app}/msg/{before[0]}/endpoint/{good}/resend")
    assert wait_until(lambda: asked(receiver, "/good")[before[0]] == 2, DELIVERED_S)
    assert set(asked(receiver, "/good")) == service.accepted[app] == recorded_messages(system, app, failing)

    # What the dump does not know is given up, and no task of it comes again for ever.
    assert deliveries(service, late) == {("cancelled", False): 1}
    assert asked(receiver, "/lost") == resent
    assert service.refusal("GET", f"/app/{lost_app}/msg") == (404, "not_found")
    # An endpoint made again has a new id. What it missed is sent again; a second time there is nothing.
    again = endpoint(system, app, f"{receiver.url}/again")
    missed = dict.fromkeys(service.accepted[app], 1)
    service.send_again(app, again, since)
    assert wait_until(lambda: set(missed) <= recorded_messages(system, app, again), DELIVERED_S)
    service.send_again(app, again, since)
    assert wait_until(lambda: not waiting_tasks(system), DELIVERED_S)
    assert asked(receiver, "/again") == missed

    assert system.web_workers() == workers, "nobody had to restart anything"


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Service]:
    """The service as `make run` starts it."""
    with running(tmp_path / ".local", **SCHEDULE) as system:
        yield Service(system, tmp_path, shell_in(tmp_path))


def lose_the_datastore(system: System) -> None:
    """Kill it and delete its file; the supervisor, held meanwhile, starts an empty one."""
    os.kill(system.process.pid, signal.SIGSTOP)
    (pid,) = system.pids("appengine.local.datastore ")
    os.kill(pid, signal.SIGKILL)
    for file in system.home.glob("datastore.sqlite3*"):
        file.unlink()
    os.kill(system.process.pid, signal.SIGCONT)
    assert wait_until(lambda: readiness(system) == (200, []), 60)


def test_a_lost_datastore_is_restored_from_an_export_and_what_was_pending_is_delivered(
    on_sqlite: Service, receiver: Receiver
) -> None:
    service, system = on_sqlite, on_sqlite.system
    receiver.answers["/failing"] = [500] * ALWAYS
    app, good = add_endpoint(system, f"{receiver.url}/good")
    failing = endpoint(system, app, f"{receiver.url}/failing")
    exported = {service.post(app) for _ in range(5)}
    assert wait_until(lambda: exported <= recorded_messages(system, app, good), DELIVERED_S)
    assert wait_until(lambda: exported <= recorded_messages(system, app, failing), DELIVERED_S)

    service.type(EXPORT)
    lost = service.post(app)
    assert wait_until(lambda: lost in recorded_messages(system, app, good), DELIVERED_S)
    lose_the_datastore(system)
    receiver.answers.clear()

    # Nothing is known, also not to the tasks of before, which end.
    assert service.listed(app) == set()
    assert service.refusal("GET", f"/app/{app}/msg/{lost}") == (404, "not_found")
    assert wait_until(lambda: not waiting_tasks(system), DELIVERED_S), waiting_tasks(system)

    failures = asked(receiver, "/failing")
    service.type(IMPORT)
    assert service.listed(app) == exported
    assert recorded_messages(system, app, good) == exported
    # The tasks are gone; the sweep finds what was pending at the time of the export.
    assert wait_until(lambda: exported <= set(asked(receiver, "/failing") - failures), DELIVERED_S)
    assert wait_until(lambda: not waiting_tasks(system), DELIVERED_S), waiting_tasks(system)
    assert deliveries(service, failing) == {("delivered", False): 5}
    new = service.post(app)
    assert wait_until(lambda: new in recorded_messages(system, app, good), DELIVERED_S)
    assert service.listed(app) == {*exported, new}
