"""The embedded Datastore in this process, and Google's generated client of it."""

import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.cloud.datastore_v1 import DatastoreClient, types
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport

from apps.appengine.local.datastore import server
from apps.appengine.local.datastore.store import Store
from tests.unit.appengine.local.datastore.messages import PROJECT, entity


@dataclass
class Served:
    """One that runs. Calls are of the default database unless they name another."""

    datastore: server.Datastore
    store: Store
    listening: grpc.Server
    channel: grpc.Channel
    host: str
    api: DatastoreClient

    @classmethod
    def start(cls, file: Path | None = None, indexes: Path | None = None, ttl: str | None = None) -> "Served":
        """Raises sqlite3.Error, ValueError."""
        store = Store(file, indexes, ttl)
        datastore = server.Datastore(store)
        listening, port = server.start(datastore, "127.0.0.1", 0)
        # Not the connections of this process: one to an earlier server on the same port would be refused.
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        api = DatastoreClient(transport=DatastoreGrpcTransport(channel=channel))
        return cls(datastore, store, listening, channel, f"127.0.0.1:{port}", api)

    def stop(self) -> None:
        self.channel.close()
        self.listening.stop(None).wait()
        self.store.close()

    def call(self, method: str, **request: Any) -> Any:
        """One of the generated client's methods, not tried again."""
        request.setdefault("project_id", PROJECT)
        return getattr(self.api, method)(request=request, retry=None, timeout=20)

    def commit(self, *mutations: dict[str, Any], transaction: bytes = b"", **fields: Any) -> Any:
        """In a transaction, or in none."""
        fields |= {"transaction": transaction} if transaction else {}
        mode = "TRANSACTIONAL" if transaction or "single_use_transaction" in fields else "NON_TRANSACTIONAL"
        return self.call("commit", mode=mode, mutations=mutations, **fields)

    def put(self, key: types.Key, **properties: Any) -> Any:
        """The result of the mutation."""
        database = key.partition_id.database_id
        mutation = {"upsert": entity(key, **properties)}
        return self.commit(mutation, database_id=database).mutation_results[0]

    def put_all(self, entities: Iterable[types.Entity]) -> None:
        self.commit(*({"upsert": each} for each in entities))

    def lookup(self, *keys: types.Key, transaction: bytes = b"", **request: Any) -> Any:
        request |= {"read_options": {"transaction": transaction}} if transaction else {}
        return self.call("lookup", keys=keys, **request)

    def run(self, query: types.Query, transaction: bytes = b"", **request: Any) -> Any:
        """One batch of a query's results."""
        request |= {"read_options": {"transaction": transaction}} if transaction else {}
        return self.call("run_query", query=query, **request).batch

    def names(self, query: types.Query, transaction: bytes = b"", **request: Any) -> list[str | int]:
        """The names or ids of the entities of one batch."""
        found = self.run(query, transaction, **request).entity_results
        return [each.entity.key.path[-1].name or each.entity.key.path[-1].id for each in found]

    def count(self, query: types.Query, transaction: bytes = b"", **request: Any) -> int:
        request |= {"read_options": {"transaction": transaction}} if transaction else {}
        counted = {"nested_query": query, "aggregations": [{"count": {}, "alias": "n"}]}
        answer = self.call("run_aggregation_query", aggregation_query=counted, **request)
        number: int = answer.batch.aggregation_results[0].aggregate_properties["n"].integer_value
        return number

    def begin(self, **options: Any) -> bytes:
        """A transaction: `begin(read_only={})`."""
        identifier: bytes = self.call("begin_transaction", transaction_options=options).transaction
        return identifier

    def unary(self, path: str, payload: bytes = b"") -> bytes:
        """A call by its gRPC path."""
        answer: bytes = self.channel.unary_unary(path)(payload, timeout=20)
        return answer


def rows(file: Path, table: str) -> int:
    """How many there are in a table of a Datastore's file."""
    db = sqlite3.connect(file)
    try:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        db.close()


def in_threads(jobs: list[Callable[[], None]]) -> None:
    """All at once, to their ends."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
