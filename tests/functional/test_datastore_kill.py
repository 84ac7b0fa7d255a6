"""The embedded Datastore is killed, ended, shared by two processes, out of room, given a bad file."""

import random
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from google.cloud import datastore

from apps.appengine.local.preflight import free_port
from tests import datastores
from tests.functional.datastore_writers import Writers, client_of, count_up, index_yaml, until_not_aborted

KILLS = 20
WRITERS = 8


class Server:
    """The embedded Datastore on one file and one port, to be started and ended again and again."""

    def __init__(self, file: Path) -> None:
        port = free_port()
        self.file = file
        self.host = f"127.0.0.1:{port}"
        folder = file.parent
        self.command = datastores.command(datastores.EMBEDDED, port, folder, index_yaml(folder), file)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Started for the block and killed after it."""
        with subprocess.Popen(self.command, stdout=subprocess.DEVNULL) as process:
            try:
                datastores.wait_until_ready(self.host)
                yield process
            finally:
                process.kill()

    def check(self, writers: Writers) -> None:
        """It holds what the writers wrote, and SQLite finds its file sound. Raises AssertionError."""
        writers.check(client_of(self.host))
        with closing(sqlite3.connect(self.file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "datastore.sqlite3")


@pytest.fixture
def other(server: Server) -> Server:
    """A second process on the file of the first."""
    return Server(server.file)


def test_twenty_kills_amid_commits_lose_nothing_acknowledged_and_leave_no_half(server: Server) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"the moments of the kills come from random.Random({seed})\n")
    moments, writers = random.Random(seed), Writers(WRITERS)
    for _ in range(KILLS):
        with server.running() as process:
            server.check(writers)
            with writers.at_work(server.host):
                writers.wait_for(moments.randrange(20))
                time.sleep(moments.uniform(0, 0.02))
                process.kill()
                process.wait()
    with server.running():
        server.check(writers)


def test_sigterm_ends_within_a_second_and_loses_nothing_acknowledged(server: Server) -> None:
    writers, took = Writers(WRITERS), []
    for _ in range(3):
        with server.running() as process:
            server.check(writers)
            with writers.at_work(server.host):
                writers.wait_for(20)
                asked = time.monotonic()
                process.terminate()
                assert process.wait(10) == 0
                took.append(time.monotonic() - asked)
    with server.running():
        server.check(writers)
    assert min(took) < 1  # the fastest: the machine may be busy


def test_two_processes_on_one_file_lose_no_update_of_each_other(server: Server, other: Server) -> None:
    def increment(client: datastore.Client) -> None:
        for _ in range(10):
            until_not_aborted(lambda: both(client))

    def both(client: datastore.Client) -> None:
        with client.transaction():
            count_up(client, 1)
            count_up(client, 2)

    with server.running(), other.running():
        clients = [client_of(server.host), client_of(other.host)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(increment, clients * 4))
        for client in clients:
            assert [client.get(client.key("Counter", which))["number"] for which in (1, 2)] == [80, 80]


def test_two_processes_on_one_file_hand_out_no_id_twice(server: Server, other: Server) -> None:
    def allocate(client: datastore.Client) -> list[int]:
        return [key.id for _ in range(10) for key in client.allocate_ids(client.key("Order"), 50)]

    with server.running(), other.running():
        clients = [client_of(server.host), client_of(other.host)]
        with ThreadPoolExecutor(4) as pool:
            ids = [each for some in pool.map(allocate, clients * 2) for each in some]
    assert len(set(ids)) == len(ids) == 2000


def test_a_kill_of_one_of_two_processes_on_a_file_leaves_the_other_at_work(
    server: Server, other: Server
) -> None:
    writers = Writers(WRITERS)
    with other.running(), server.running() as process:
        with writers.at_work(server.host, other.host):
            writers.wait_for(20)
            process.kill()
            process.wait()
            writers.wait_for(40)
        other.check(writers)
    with server.running():
        server.check(writers)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process that runs already")
def test_a_full_disk_fails_commits_and_loses_nothing_acknowledged(server: Server) -> None:
    writers = Writers(WRITERS)
    with server.running() as process:
        with writers.at_work(server.host) as threads:
            writers.wait_for(20)
            largest = max(each.stat().st_size for each in server.file.parent.iterdir())
            limit_file_size(process, largest + 20_000)
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive(), "a commit did not fail"
        writers.check(client_of(server.host))
        limit_file_size(process, resource.RLIM_INFINITY)
        with writers.at_work(server.host):
            writers.wait_for(20)
        assert writers.acknowledged == writers.attempted, "a commit failed though there was room again"
    with server.running():
        server.check(writers)


def limit_file_size(process: subprocess.Popen[bytes], most: int) -> None:
    """Writes beyond `most` bytes into a file fail, which SQLite meets as it does a full disk."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def write_text(file: Path) -> None:
    file.write_text("Dear diary, " * 1000)


def write_foreign_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")


def write_damaged(file: Path) -> None:
    """One of ours, of whose first page the header alone is left."""
    with Server(file).running() as process:
        process.terminate()
        process.wait(1)
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes(3996) + content[4096:])


@pytest.mark.parametrize("write", [write_text, write_foreign_database, write_damaged, Path.mkdir])
def test_a_file_that_it_cannot_use_is_named_in_one_sentence_and_left_alone(
    server: Server, write: Callable[[Path], None]
) -> None:
    write(server.file)
    before = server.file.read_bytes() if server.file.is_file() else b""
    ended = subprocess.run(server.command, capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode > 0
    assert str(server.file) in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert before == (server.file.read_bytes() if server.file.is_file() else b"")
