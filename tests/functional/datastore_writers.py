"""Writers whose every commit shows when half of it is there, and the check that none is.

A writer's commit NUMBER is one transaction: it inserts an order under a new name with two lines below
it, closes the writer's order before, moves the writer's marker (an insert and a delete), and counts one
of eight counters up. What is there after n commits is known, so what a Datastore holds is right only if
it is exactly that, by key and through every index.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.api_core.exceptions import Aborted, Cancelled, InternalServerError, ServiceUnavailable
from google.api_core.retry import Retry
from google.cloud import datastore
from google.cloud.datastore.helpers import entity_to_protobuf
from google.cloud.datastore_v1.services.datastore import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from google.cloud.datastore_v1.types import Mutation

from tests import datastores

INDEXES = """
indexes:
- {kind: Order, properties: [{name: writer}, {name: number, direction: desc}]}
"""
COUNTERS = 8
TEXT = "x" * 2000  # an order overflows to pages of its own
ENDED = (ServiceUnavailable, Cancelled, InternalServerError)
NO_RETRY = Retry(predicate=lambda _: False)  # the client would ask a killed server for a minute

type KeyPath = tuple[str | int, ...]  # kind, name, kind, name, ...
type State = dict[KeyPath, dict[str, Any]]


def index_yaml(folder: Path) -> Path:
    """A file in `folder` that lists the index that the check needs."""
    path = folder / "index.yaml"
    path.write_text(INDEXES)
    return path


def client_of(host: str) -> datastore.Client:
    """A client of the Datastore at HOST:PORT.

    It has connections of its own: gRPC's shared ones remember for seconds that a killed server was gone.
    """
    with datastores.as_emulator_host(host):
        client = datastore.Client(project="p")
    channel = grpc.insecure_channel(host, options=[("grpc.use_local_subchannel_pool", 1)])
    client._datastore_api_internal = DatastoreClient(transport=DatastoreGrpcTransport(channel=channel))
    return client


def order(writer: int, number: int, *, is_open: bool) -> State:
    """An order and its lines. Numbers are unique, so that an order by number is a total one."""
    path, unique = ("Order", f"{writer}-{number}"), number * 100 + writer
    tags = [f"tag-{number % 7}", f"writer-{writer}"]
    return {
        path: {"writer": writer, "number": unique, "open": is_open, "tags": tags, "text": TEXT},
        (*path, "Line", 1): {"writer": writer, "number": unique * 10 + 1},
        (*path, "Line", 2): {"writer": writer, "number": unique * 10 + 2},
    }


def state_of(writer: int, number: int) -> State:
    """What is there of the writer after its first `number` commits."""
    state: State = {}
    for each in range(1, number + 1):
        state |= order(writer, each, is_open=each == number)
    if number:
        state["Marker", f"{writer}-{number}"] = {"writer": writer, "number": number}
    return state


def counters_of(numbers: list[int]) -> State:
    """The counters once each writer has made so many commits."""
    commits = [(writer, number) for writer, n in enumerate(numbers) for number in range(1, n + 1)]
    counted = Counter(counter_of(writer, number) for writer, number in commits)
    return {("Counter", which): {"number": value} for which, value in counted.items()}


def counter_of(writer: int, number: int) -> int:
    return (writer + number) % COUNTERS + 1


def entity(client: datastore.Client, path: KeyPath, properties: dict[str, Any]) -> datastore.Entity:
    made = datastore.Entity(client.key(*path), exclude_from_indexes=("text",))
    made.update(properties)
    return made


def commit(client: datastore.Client, writer: int, number: int) -> None:
    """One commit of a writer. Raises Aborted: another was faster."""
    before, after = state_of(writer, number - 1), state_of(writer, number)
    with client.transaction() as transaction:
        count_up(client, counter_of(writer, number))
        for path in after.keys() - before.keys():
            new = entity_to_protobuf(entity(client, path, after[path]))
            transaction.mutations.append(Mutation(insert=new))
        client.put_multi(
            entity(client, path, after[path])
            for path in after.keys() & before.keys()
            if after[path] != before[path]
        )
        client.delete_multi(client.key(*path) for path in before.keys() - after.keys())


def count_up(client: datastore.Client, which: int) -> None:
    """Add one to a counter, in the transaction that is open."""
    key = client.key("Counter", which)
    counter = client.get(key, retry=NO_RETRY) or datastore.Entity(key)
    counter["number"] = counter.get("number", 0) + 1
    client.put(counter)


def until_not_aborted(attempt: Callable[[], None]) -> None:
    """As production's clients do: try again when another transaction was faster."""
    while True:
        try:
            return attempt()
        except Aborted:
            continue


class Writers:
    """How far each writer has come, as the writers know it."""

    def __init__(self, writers: int) -> None:
        self.acknowledged = [0] * writers
        self.attempted = [0] * writers

    def run(self, client: datastore.Client, writer: int, stop: threading.Event) -> None:
        """Commit after commit, until told to stop, or there is no server or no room any more."""
        while not stop.is_set():
            number = self.attempted[writer] = self.acknowledged[writer] + 1
            try:
                until_not_aborted(lambda number=number: commit(client, writer, number))
            except ENDED:
                return
            self.acknowledged[writer] = number

    def wait_for(self, commits: int, seconds: float = 60) -> None:
        """Return once so many more commits are acknowledged. Raises AssertionError."""
        enough, deadline = sum(self.acknowledged) + commits, time.monotonic() + seconds
        while sum(self.acknowledged) < enough:
            assert time.monotonic() < deadline, f"not {commits} commits in {seconds:g} s"
            time.sleep(0.001)

    @contextmanager
    def at_work(self, *hosts: str) -> Iterator[list[threading.Thread]]:
        """Each writer commits during the block, in a thread of its own; the hosts are theirs in turn."""
        stop = threading.Event()
        clients = [client_of(host) for host in hosts]
        threads = [
            threading.Thread(target=self.run, args=(client, writer, stop))
            for writer, client in zip(range(len(self.attempted)), itertools.cycle(clients), strict=False)
        ]
        for thread in threads:
            thread.start()
        try:
            yield threads
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def check(self, client: datastore.Client) -> None:
        """Every acknowledged commit is there whole, each other one whole or not at all.

        The writers go on from what was found. Raises AssertionError.
        """
        numbers = [0] * len(self.attempted)
        for marker in client.query(kind="Marker").fetch():
            numbers[marker["writer"]] = marker["number"]
        for writer, number in enumerate(numbers):
            assert self.acknowledged[writer] <= number <= self.attempted[writer], f"writer {writer}"
        ever = set(all_of(self.attempted)) | set(all_of(self.acknowledged))
        assert_holds(client, all_of(numbers), ever)
        self.acknowledged, self.attempted = numbers, numbers.copy()


def all_of(numbers: list[int]) -> State:
    """All that is there once each writer has made so many commits."""
    state = counters_of(numbers)
    for writer, number in enumerate(numbers):
        state |= state_of(writer, number)
    return state


def assert_holds(client: datastore.Client, state: State, ever: set[KeyPath]) -> None:
    """It holds exactly `state`, of the paths `ever` written, and every index says so."""
    assert looked_up(client, ever) == state
    for kind in ("Order", "Line", "Marker", "Counter"):
        assert as_state(client.query(kind=kind).fetch()) == of_kind(state, kind)
    for kind in ("Order", "Line"):
        ascending = sorted(of_kind(state, kind), key=lambda path: state[path]["number"])
        assert paths(client, kind, order="number") == ascending
        assert paths(client, kind, order="-number") == ascending[::-1]
    orders = of_kind(state, "Order")
    assert paths(client, "Order", open=True) == sorted(p for p in orders if orders[p]["open"])
    for tag in range(7):
        tagged = sorted(path for path in orders if f"tag-{tag}" in orders[path]["tags"])
        assert paths(client, "Order", tags=f"tag-{tag}") == tagged
    for writer in {properties["writer"] for properties in orders.values()}:
        own = [path for path in orders if orders[path]["writer"] == writer]
        newest_first = sorted(own, key=lambda path: -orders[path]["number"])
        assert paths(client, "Order", order="-number", writer=writer) == newest_first


def of_kind(state: State, kind: str) -> State:
    return {path: properties for path, properties in state.items() if path[-2] == kind}


def looked_up(client: datastore.Client, ever: set[KeyPath]) -> State:
    found: State = {}
    for some in itertools.batched(sorted(ever, key=str), 500):
        found |= as_state(client.get_multi([client.key(*path) for path in some]))
    return found


def as_state(entities: Iterable[datastore.Entity]) -> State:
    return {one.key.flat_path: dict(one) for one in entities}


def paths(client: datastore.Client, kind: str, order: str = "", **equal: Any) -> list[KeyPath]:
    """The paths that a query finds, in its order."""
    query = client.query(kind=kind, order=[order] if order else [])
    for name, value in equal.items():
        query.add_filter(filter=datastore.query.PropertyFilter(name, "=", value))
    query.keys_only()
    return [one.key.flat_path for one in query.fetch()]
