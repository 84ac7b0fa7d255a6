"""Steps through the Datastore API itself: google-cloud-datastore's generated client."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import grpc
from google.cloud.datastore_v1 import DatastoreClient, types
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport

from tests.functional.datastore import messages
from tests.functional.datastore.messages import PROJECT, entity_text, key_text, value_text
from tests.functional.datastore.steps import Aggregate, Allocate, Commit, Create, Entity, Key, Mutation, Query
from tests.functional.datastore.walk import bare

type Observation = Any  # text, numbers, tuples and lists of them
SECONDS = 5


def connect(host: str) -> DatastoreClient:
    return DatastoreClient(transport=DatastoreGrpcTransport(channel=grpc.insecure_channel(host)))


def turned(query: Query) -> Query:
    """The query in the opposite order."""
    order = query.order if "__key__" in bare(query.order) else (*query.order, "__key__")
    opposite = (name[1:] if name.startswith("-") else f"-{name}" for name in order)
    return replace(query, order=tuple(opposite), offset=0)


class Api:
    """In `transaction` reads are part of it and writes wait for its commit."""

    def __init__(self, client: DatastoreClient) -> None:
        self.client = client
        self.transaction = b""
        self.written: list[dict[str, Any]] = []

    def call(self, method: str, **fields: Any) -> Any:
        request = {"project_id": PROJECT} | fields
        return getattr(self.client, method)(request, timeout=SECONDS, retry=None)

    @property
    def reading(self) -> dict[str, Any]:
        return {"read_options": {"transaction": self.transaction}} if self.transaction else {}

    def begin(self, *, read_only: bool = False) -> None:
        options: dict[str, Any] = {"read_only": {}} if read_only else {"read_write": {}}
        self.transaction = self.call("begin_transaction", transaction_options=options).transaction
        self.written = []

    def commit_transaction(self) -> str:
        transaction, self.transaction = self.transaction, b""
        self.call("commit", mode="TRANSACTIONAL", transaction=transaction, mutations=self.written)
        return "committed"

    def roll_back(self) -> str:
        transaction, self.transaction = self.transaction, b""
        self.call("rollback", transaction=transaction)
        return "rolled back"

    def write(self, mutations: list[dict[str, Any]]) -> Any:
        if self.transaction:
            self.written += mutations
            return None
        return self.call("commit", mode="NON_TRANSACTIONAL", mutations=mutations)

    def put(self, entities: tuple[Entity, ...]) -> Observation:
        self.write([{"upsert": messages.entity_message(entity)} for entity in entities])
        return "put"

    def delete(self, keys: tuple[Key, ...]) -> Observation:
        self.write([{"delete": messages.key_message(key)} for key in keys])
        return "deleted"

    def lookup(self, keys: list[Any]) -> Any:
        return self.call("lookup", keys=keys, **self.reading)

    def get(self, keys: tuple[Key, ...]) -> Observation:
        answer = self.lookup([messages.key_message(key) for key in keys])
        assert not answer.deferred
        found = sorted(entity_text(result.entity) for result in answer.found)
        return found, sorted(key_text(result.entity.key) for result in answer.missing)

    def batches(self, query: Query, **more: Any) -> Iterator[Any]:
        """Each batch of the answer, until nothing is left of it."""
        message = messages.query_message(query) | more
        partition = {"project_id": PROJECT, "namespace_id": query.namespace}
        while True:
            batch = self.call("run_query", partition_id=partition, query=message, **self.reading).batch
            yield batch
            if batch.more_results != types.QueryResultBatch.MoreResultsType.NOT_FINISHED:
                return
            message = message | {"start_cursor": batch.end_cursor}
            message["offset"] = message.get("offset", 0) - batch.skipped_results
            if "limit" in message:
                message["limit"] -= len(batch.entity_results)

    def results(self, query: Query, **more: Any) -> tuple[list[Any], bytes]:
        """The results and the cursor after them."""
        batches = list(self.batches(query, **more))
        return [result for batch in batches for result in batch.entity_results], batches[-1].end_cursor

    def fetch(self, query: Query) -> Observation:
        return [entity_text(result.entity) for result in self.results(query)[0]]

    def page(self, query: Query, size: int, cursor: bytes | None) -> tuple[Observation, bytes | None]:
        start = {"start_cursor": cursor, "offset": 0} if cursor else {}
        results, end = self.results(query, limit=size, **start)
        texts = [entity_text(result.entity) for result in results]
        if not results:
            return (texts, []), None
        if size % 2:  # either cursor must do
            end = results[-1].cursor
        again, _ = self.results(query, end_cursor=end, **start)
        return (texts, [entity_text(result.entity) for result in again]), end

    def back(self, query: Query, size: int) -> Observation:
        forth, end = self.results(query, limit=size)
        back, _ = self.results(turned(query), limit=None, start_cursor=end) if forth else ([], end)
        return [[entity_text(result.entity) for result in results] for results in (forth, back)]

    def aggregate(self, step: Aggregate) -> Observation:
        partition = {"project_id": PROJECT, "namespace_id": step.query.namespace}
        functions = []
        for number, (function, name, up_to) in enumerate(step.functions):
            arguments = {"up_to": up_to} if function == "count" else {"property": {"name": name}}
            functions.append({function: arguments, "alias": f"f{number}"})
        query = {"nested_query": messages.query_message(step.query), "aggregations": functions}
        answer = self.call(
            "run_aggregation_query", partition_id=partition, aggregation_query=query, **self.reading
        )
        (result,) = answer.batch.aggregation_results
        return sorted((name, value_text(value)) for name, value in result.aggregate_properties.items())

    def version(self, key: Key) -> int:
        answer = self.lookup([messages.key_message(key)])
        return int(answer.found[0].version) if answer.found else 0

    def mutation(self, mutation: Mutation) -> dict[str, Any]:
        entity = messages.entity_message(mutation.entity)
        message: dict[str, Any] = {
            mutation.operation: entity["key"] if mutation.operation == "delete" else entity
        }
        if mutation.base != "none" and (version := self.version(mutation.entity.key)):
            message["base_version"] = version - (mutation.base == "stale")
        return message

    def commit(self, step: Commit) -> Observation:
        options: dict[str, Any] = {"mode": "NON_TRANSACTIONAL"}
        if step.transactional:
            options = {"mode": "TRANSACTIONAL", "single_use_transaction": {"read_write": {}}}
        answer = self.call("commit", mutations=[self.mutation(part) for part in step.mutations], **options)
        return [result.conflict_detected for result in answer.mutation_results]

    def create(self, step: Create) -> Observation:
        names = count()
        entities = [
            Entity(Key((*step.parent.path, step.kind), step.parent.namespace), properties)
            for properties in step.properties
        ]
        answer = self.write([{"upsert": messages.entity_message(entity)} for entity in entities])
        keys = [result.key for result in answer.mutation_results]
        found = {entity.entity.key.path[-1].id: entity.entity for entity in self.lookup(keys).found}
        texts = [messages.properties_text(found[key.path[-1].id]) for key in keys]
        self.write([{"delete": key} for key in keys])
        for key in keys:
            key.path[-1].id = next(names)
        return texts, [key_text(key) for key in keys], len(found)

    def allocate(self, step: Allocate) -> Observation:
        path = (*step.parent.path, step.kind) if step.parent else (step.kind,)
        keys = [messages.key_message(Key(path))] * step.count
        allocated = self.call("allocate_ids", keys=keys).keys
        return len({key.path[-1].id for key in allocated}), all(key.path[-1].id > 0 for key in allocated)
