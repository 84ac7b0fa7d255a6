"""`make bench-datastore`: the embedded Datastore beside both of Google's emulators, through NDB.

One client process with 8 threads and the unmodified NDB client, the same loads to each of the three in
turns, five rounds after one to warm up, so that noise hits all alike. Ours writes to a file and has it
on disk when a commit answers; the emulators keep everything in memory. Prints medians, and ends with 1
when ours takes over 1.2 times as long as the faster emulator, over 150 MB with 100,000 entities, or
over half a second from its start to its first answer.

Much of the wall time is the client's: NDB's own work, one thread at a time. What an operation costs the
server is the CPU beside it.
"""

import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.cloud import ndb
from google.cloud.datastore_v1.types import CommitRequest, LookupRequest

from bench.throughput import cpu_of
from tests import datastores
from tests.with_services import free_port

THREADS = 8
ROUNDS = 5
ENTITIES, MANY_ENTITIES = 20_000, 100_000
GROUPS = 100
MOST_RATIO, MOST_MB, MOST_START_S = 1.2, 150, 0.5
TEXT = "x" * 500
INDEXES = "indexes:\n- {kind: Item, properties: [{name: group}, {name: number, direction: desc}]}\n"


class Item(ndb.Model):
    """What is there before: read and queried."""

    group: int = ndb.IntegerProperty()
    number: int = ndb.IntegerProperty()
    label: str = ndb.StringProperty()
    text: str = ndb.TextProperty()


class New(Item):
    """What a load writes, of a kind of its own, so that the queries always search as many."""


names = itertools.count()


def new() -> New:
    number = next(names)
    return New(id=f"new-{number}", group=number % GROUPS, number=number, label=f"label {number}", text=TEXT)


def put() -> None:
    new().put()


def get() -> None:
    assert Item.get_by_id(f"item-{random.randrange(ENTITIES)}")


def query() -> None:
    group = Item.group == random.randrange(GROUPS)
    assert len(Item.query(group).order(-Item.number).fetch(10)) == 10


def batch() -> None:
    ndb.put_multi([new() for _ in range(100)])


# How often in a round: a second or two each, but for the queries, which take the emulators longer.
LOADS: dict[Callable[[], None], int] = {put: 800, get: 800, query: 24, batch: 32}


@dataclass(frozen=True)
class Cost:
    """Of one operation, in milliseconds: from start to end, and the CPU of server and client."""

    wall: float
    server: float
    client: float


class Store:
    """One that runs, and what its loads have cost, round by round."""

    def __init__(self, running: datastores.Datastore) -> None:
        self.running = running
        with datastores.as_emulator_host(running.host):
            self.client = ndb.Client(project="p")  # noqa: TID251  one for each of three
        self.costs: dict[Callable[[], None], list[Cost]] = {load: [] for load in LOADS}

    def repeat(self, load: Callable[[], None], times: int) -> None:
        with self.client.context(cache_policy=False, global_cache_policy=False, legacy_data=False):
            for _ in range(times):
                load()

    def measure(self, load: Callable[[], None], times: int) -> Cost:
        """Run the load so often, shared by the threads."""
        server, client, started = cpu_of(self.running.pid), time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self.repeat, [load] * THREADS, [times // THREADS] * THREADS))
        wall, client = time.perf_counter() - started, time.process_time() - client
        spent = (wall, cpu_of(self.running.pid) - server, client)
        return Cost(*(seconds * 1000 / times for seconds in spent))

    def median(self, load: Callable[[], None], part: str) -> float:
        return statistics.median(getattr(cost, part) for cost in self.costs[load])


def commits(first: int, last: int) -> Iterator[bytes]:
    """Serialized requests that put the items, 500 each: NDB would take minutes to build them."""
    for numbers in itertools.batched(range(first, last), 500):
        request = CommitRequest.pb(CommitRequest(project_id="p", mode="NON_TRANSACTIONAL"))
        for number in numbers:
            entity = request.mutations.add().upsert
            entity.key.partition_id.project_id = "p"
            entity.key.path.add(kind="Item", name=f"item-{number}")
            entity.properties["group"].integer_value = number % GROUPS
            entity.properties["number"].integer_value = number
            entity.properties["label"].string_value = f"label {number}"
            entity.properties["text"].string_value = TEXT
            entity.properties["text"].exclude_from_indexes = True
        yield request.SerializeToString()


def call(host: str, method: str, request: bytes) -> None:
    """One call of the Datastore API."""
    with grpc.insecure_channel(host) as channel:
        channel.unary_unary(f"/google.datastore.v1.Datastore/{method}")(request, timeout=60)


def fill(host: str, first: int, last: int) -> None:
    for request in commits(first, last):
        call(host, "Commit", request)


def memory_mb(pid: int) -> float:
    """What the process occupies now (RSS)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_s(folder: Path, indexes: Path, file: Path) -> float:
    """Seconds from the start of ours, on a file that is there, to its first answer."""
    port = free_port()
    started = time.perf_counter()
    command = datastores.command(datastores.EMBEDDED, port, folder, indexes, file)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not listens(port):
            time.sleep(0.002)
        call(f"127.0.0.1:{port}", "Lookup", LookupRequest.serialize(LookupRequest(project_id="p")))
        seconds = time.perf_counter() - started
        process.terminate()
    return seconds


def run_rounds(stores: list[Store]) -> None:
    """One round to warm up, then those that count."""
    for counts in (False, *[True] * ROUNDS):
        for work, times in LOADS.items():
            for store in stores:
                cost = store.measure(work, times)
                if counts:
                    store.costs[work].append(cost)


def ratio(stores: list[Store], load: Callable[[], None]) -> float:
    """Wall time of ours over that of the faster of the others."""
    ours, *others = (store.median(load, "wall") for store in stores)
    return ours / min(others)


def print_table(stores: list[Store]) -> None:
    print(f"ms an operation, medians of {ROUNDS}; in brackets CPU of the server + of the client")
    print(" " * 8 + "".join(f"{store.running.name:>26}" for store in stores) + "   ratio")
    for load in LOADS:
        columns = "".join(f"{column(store, load):>26}" for store in stores)
        print(f"{load.__name__:8}{columns}{ratio(stores, load):8.2f}")
    print("memory  " + "".join(f"{memory_mb(store.running.pid):23.0f} MB" for store in stores))


def column(store: Store, load: Callable[[], None]) -> str:
    wall, server, client = (store.median(load, part) for part in ("wall", "server", "client"))
    return f"{wall:.2f} ({server:.2f} + {client:.2f})"


@contextmanager
def running_stores(indexes: Path, file: Path) -> Iterator[list[Store]]:
    """All three, with ENTITIES entities each."""
    with ExitStack() as stack:
        stores = []
        for name in datastores.ALL:
            kept = file if name == datastores.EMBEDDED else None
            stores.append(Store(stack.enter_context(datastores.running(name, indexes, kept))))
            fill(stores[-1].running.host, 0, ENTITIES)
        yield stores


def main() -> int:
    if missing := "".join(map(datastores.missing, datastores.ALL)):
        sys.exit(missing)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        indexes, file = folder / "index.yaml", folder / "datastore.sqlite3"
        indexes.write_text(INDEXES)
        with running_stores(indexes, file) as stores:
            run_rounds(stores)
            print_table(stores)
            ours = stores[0]
            fill(ours.running.host, ENTITIES, MANY_ENTITIES)
            ours.measure(query, 80)
            memory = memory_mb(ours.running.pid)
        start = statistics.median(start_s(folder, indexes, file) for _ in range(ROUNDS))
    print(f"ours with {MANY_ENTITIES} entities: {memory:.0f} MB, first answer {start:.2f} s after its start")
    slow = any(ratio(stores, load) > MOST_RATIO for load in LOADS)
    return int(slow or memory > MOST_MB or start > MOST_START_S)


if __name__ == "__main__":
    sys.exit(main())
