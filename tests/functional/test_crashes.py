"""Kills in the middle of traffic: what was answered 202 arrives and is listed (invariant 1)."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import tasks_v2

from tests.conftest import Receiver
from tests.functional.system import System, add_endpoint, recorded_messages, running, wait_until

MESSAGES = 500
ARRIVES_S = 150.0  # a sweep takes up to two minutes
SWEPT_S = 180.0  # two minutes, and what a busy machine adds


SCHEDULE = {"WAYBILL_RETRY_SCHEDULE": "0,1,2,5,5,5"}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path, **SCHEDULE) as started:
        yield started


def post(system: System, application_id: str, number: int) -> str | None:
    """Post one message without retrying; its id if it was answered 202."""
    try:
        body = {"eventType": "invoice.paid", "payload": {"n": number}}
        accepted: str = system.call("POST", f"/app/{application_id}/msg", body)["id"]
        return accepted
    except (OSError, HTTPException):
        return None  # refused, broken off or answered 5xx: not accepted as far as the client knows


def post_while(system: System, application_id: str, disturb: Callable[[], None]) -> set[str]:
    """Post MESSAGES messages from 8 threads; `disturb` once a third of them is through."""
    done = threading.Semaphore(0)

    def one(number: int) -> str | None:
        try:
            return post(system, application_id, number)
        finally:
            done.release()

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(one, number) for number in range(MESSAGES)]
        for _ in range(MESSAGES // 3):
            done.acquire()
        disturb()
        return {accepted for answer in answers if (accepted := answer.result())}


def kill(pids: list[int]) -> None:
    assert pids, "nothing to kill"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def arrived(receiver: Receiver) -> set[str]:
    return {request.headers["webhook-id"] for request in list(receiver.requests)}


def assert_all_arrive(system: System, receiver: Receiver, accepted: set[str], ids: tuple[str, str]) -> None:
    wait_until(lambda: accepted <= arrived(receiver), ARRIVES_S)
    assert accepted <= arrived(receiver), f"{len(accepted - arrived(receiver))} of {len(accepted)} lost"
    wait_until(lambda: accepted <= recorded_messages(system, *ids), 30)
    assert accepted <= recorded_messages(system, *ids)


def test_invariant_1_killing_the_web_workers_loses_no_accepted_message(
    system: System, receiver: Receiver
) -> None:
    ids = add_endpoint(system, receiver.url)

    def disturb() -> None:
        for _ in range(3):
            wait_until(system.web_workers, 20)
            kill(system.web_workers())
            time.sleep(1)

    accepted = post_while(system, ids[0], disturb)
    assert len(accepted) > MESSAGES / 2
    assert_all_arrive(system, receiver, accepted, ids)


def test_invariant_1_killing_the_queue_server_loses_no_accepted_message(
    system: System, receiver: Receiver
) -> None:
    ids = add_endpoint(system, receiver.url)
    accepted = post_while(system, ids[0], lambda: kill(system.pids("queue_server")))
    assert len(accepted) > MESSAGES / 2
    assert_all_arrive(system, receiver, accepted, ids)


def test_invariant_1_killing_the_datastore_loses_no_accepted_message(
    system: System, receiver: Receiver
) -> None:
    ids = add_endpoint(system, receiver.url)

    def disturb() -> None:
        for _ in range(3):
            wait_until(lambda: system.pids("local.datastore"), 20)
            kill(system.pids("local.datastore"))
            time.sleep(1)

    accepted = post_while(system, ids[0], disturb)
    assert len(accepted) > MESSAGES / 3
    assert_all_arrive(system, receiver, accepted, ids)


def test_invariant_1_stopping_everything_and_starting_again_loses_no_accepted_message(
    system: System, receiver: Receiver
) -> None:
    ids = add_endpoint(system, receiver.url)
    accepted = post_while(system, ids[0], system.stop)
    system.start()
    assert len(accepted) > MESSAGES / 4
    assert_all_arrive(system, receiver, accepted, ids)


def queues(system: System) -> tasks_v2.CloudTasksClient:
    """The real client, connected to the system's queue server."""
    import grpc  # noqa: PLC0415  kept with the one that needs it
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport  # noqa: PLC0415

    lines = (system.home / "run.env").read_text().splitlines()
    host = dict(line.split("=", 1) for line in lines)["CLOUD_TASKS_EMULATOR_HOST"]
    return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(host)))


def resumed(system: System, name: str) -> bool:
    """Whether the queue could be resumed: the server may still be starting."""
    try:
        queues(system).resume_queue(name=name, timeout=2)
    except GoogleAPICallError:
        return False
    return True


@pytest.mark.parametrize("with_disk", [True, False], ids=["with its disk", "without its disk"])
def test_with_the_sweep_off_accepted_tasks_survive_the_queue_server_only_with_its_disk(
    system: System, receiver: Receiver, with_disk: bool
) -> None:
    (cron_clock,) = system.pids("cron_clock")
    os.kill(cron_clock, signal.SIGSTOP)
    application_id, _ = add_endpoint(system, receiver.url)
    name = "projects/local/locations/local/queues/deliveries"
    queues(system).pause_queue(name=name)
    accepted = {post(system, application_id, number) for number in range(20)}
    assert None not in accepted
    os.kill(system.process.pid, signal.SIGSTOP)  # so that the restart waits for the disk
    kill(system.pids("queue_server"))
    if not with_disk:
        for file in system.home.glob("queues.sqlite3*"):
            file.unlink()
    os.kill(system.process.pid, signal.SIGCONT)
    wait_until(lambda: system.pids("queue_server"), 20)
    assert wait_until(lambda: resumed(system, name), 20)
    if with_disk:
        assert wait_until(lambda: accepted <= arrived(receiver), 30)
    else:
        time.sleep(5)
        assert not arrived(receiver)
    os.kill(cron_clock, signal.SIGCONT)


def test_invariant_1_a_message_whose_task_could_not_be_created_arrives_within_two_minutes(
    system: System, receiver: Receiver
) -> None:
    ids = add_endpoint(system, receiver.url)
    os.kill(system.process.pid, signal.SIGSTOP)  # so that nobody starts the queue server again
    kill(system.pids("queue_server"))
    started = time.monotonic()
    with ThreadPoolExecutor(5) as pool:
        accepted = set(pool.map(lambda number: post(system, ids[0], number), range(5)))
    assert not arrived(receiver)
    os.kill(system.process.pid, signal.SIGCONT)
    assert None not in accepted, "the commit stands, so the answer is 202"
    assert wait_until(lambda: accepted <= arrived(receiver), SWEPT_S - (time.monotonic() - started))
