"""The Datastore API itself, for the few hot paths where NDB's transactions cost too many calls.

NDB's transaction is three calls: begin, commit, and a lookup between. The API does the same in one
(a commit with a single-use transaction) or two (a lookup that begins the transaction, and the
commit). Entities still are NDB models, converted by NDB's own code, so what is written here reads
back through NDB equal.

Source: the v1 API's `CommitRequest.single_use_transaction` and `ReadOptions.new_transaction`,
https://cloud.google.com/datastore/docs/reference/data/rpc/google.datastore.v1
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.api_core import exceptions
from google.cloud import ndb
from google.cloud.datastore_v1.types import datastore as api
from google.cloud.ndb.context import get_context
from google.cloud.ndb.model import _entity_from_protobuf, _entity_to_protobuf
from opentelemetry.trace import SpanKind, get_tracer

tracer = get_tracer(__name__)

CALL_TIMEOUT_S = 10.0
TRANSIENT = (exceptions.ServiceUnavailable, exceptions.DeadlineExceeded, exceptions.InternalServerError)
TRANSACTION_TRIES = 8

READ_WRITE = api.TransactionOptions(read_write=api.TransactionOptions.ReadWrite())


@dataclass(frozen=True)
class Writes:
    """What one commit writes. `insert` fails with AlreadyExists where the key is taken; `put` does not."""

    insert: Sequence[ndb.Model] = field(default_factory=tuple)
    put: Sequence[ndb.Model] = field(default_factory=tuple)

    def mutations(self) -> list[api.Mutation]:
        inserted = [api.Mutation(insert=_entity_to_protobuf(entity)) for entity in self.insert]
        return inserted + [api.Mutation(upsert=_entity_to_protobuf(entity)) for entity in self.put]


def lookup(keys: Sequence[ndb.Key]) -> list[Any]:
    """The entities of `keys`, in their order, None where there is none. One call.

    Raises google.api_core.exceptions when the Datastore does not answer.
    """
    return _lookup(keys, None)[0]


def commit(writes: Writes) -> None:
    """Write everything or nothing, in one call.

    Raises google.api_core.exceptions.AlreadyExists when an inserted key is taken. After a transient
    fault the call is made once more, so that error may also mean "by ourselves, a moment ago": look
    the entity up before believing it.
    """
    request = api.CommitRequest(mode=api.CommitRequest.Mode.TRANSACTIONAL, single_use_transaction=READ_WRITE)
    request.mutations = writes.mutations()
    _call("commit", request)


def transact[T](keys: Sequence[ndb.Key], step: Callable[[list[Any]], tuple[Writes, T]]) -> T:
    """Read `keys`, let `step` decide from what is there now, and commit if nothing changed meanwhile.

    Two calls. `step` may run several times and must have no other effect than what it returns.
    Raises google.api_core.exceptions.Aborted when contention outlasts TRANSACTION_TRIES.
    """
    for remaining in reversed(range(TRANSACTION_TRIES)):
        try:
            return _try(keys, step)
        except (exceptions.Aborted, *TRANSIENT):
            if not remaining:
                raise
            time.sleep(random.uniform(0.005, 0.05) * (TRANSACTION_TRIES - remaining))
    raise AssertionError("unreachable: the last try returns or raises")


def _try[T](keys: Sequence[ndb.Key], step: Callable[[list[Any]], tuple[Writes, T]]) -> T:
    entities, transaction = _lookup(keys, READ_WRITE)
    try:
        writes, result = step(entities)
    except BaseException:
        # What was read stays locked while the transaction is open, where the database locks on reading.
        with suppress(exceptions.GoogleAPICallError):
            _call("rollback", api.RollbackRequest(transaction=transaction), retry=False)
        raise
    request = api.CommitRequest(mode=api.CommitRequest.Mode.TRANSACTIONAL, transaction=transaction)
    request.mutations = writes.mutations()
    _call("commit", request, retry=False)
    return result


def _lookup(keys: Sequence[ndb.Key], begin: api.TransactionOptions | None) -> tuple[list[Any], bytes]:
    wanted = [key._key.to_protobuf() for key in keys]
    found: dict[ndb.Key, Any] = {}
    options = api.ReadOptions(new_transaction=begin) if begin is not None else api.ReadOptions()
    transaction = b""
    while wanted:
        response = _call("lookup", api.LookupRequest(keys=wanted, read_options=options))
        transaction = transaction or response.transaction
        for result in response.found:
            entity = _entity_from_protobuf(result.entity)
            found[entity.key] = entity
        # The API may defer some keys of a large lookup to a further call.
        wanted = list(response.deferred)
        options = api.ReadOptions(transaction=transaction) if transaction else options
    return [found.get(key) for key in keys], transaction


def _call(name: str, request: Any, *, retry: bool = True) -> Any:
    client = get_context().client
    request.project_id, request.database_id = client.project, client.database or ""
    # Google routes a call by this header (https://google.aip.dev/client-libraries/4222).
    metadata = [("x-goog-request-params", f"project_id={client.project}&database_id={client.database or ''}")]
    try:
        with tracer.start_as_current_span(f"Datastore {name}", kind=SpanKind.CLIENT):
            return getattr(client.stub, name)(request, timeout=CALL_TIMEOUT_S, metadata=metadata)
    except grpc.RpcError as error:
        fault = exceptions.from_grpc_error(error)  # type: ignore[no-untyped-call]  # ships no types
        if retry and isinstance(fault, TRANSIENT):
            return _call(name, request, retry=False)
        raise fault from error
