"""The gRPC service google.datastore.v1.Datastore.

https://cloud.google.com/datastore/docs/reference/data/rpc/google.datastore.v1
"""

import socket
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2

from apps.appengine.local.refusals import Refused, invalid, refuse_fields, unimplemented

from . import answers, validate
from .commit import NON_TRANSACTIONAL, Commit, delete_expired, random_id
from .messages import types
from .store import Store, now
from .transactions import Transactions, check

SERVICE = "/google.datastore.v1.Datastore/"
RESET = "/reset"
THREADS = 16
EXPIRY_SECONDS = 60.0  # between two looks; production takes up to a day
MAX_MESSAGE_BYTES = 64 << 20  # what is over Datastore's own limit is refused in its words

AllocateIdsResponse: Any = types.AllocateIdsResponse.pb()
BeginTransactionResponse: Any = types.BeginTransactionResponse.pb()
CommitResponse: Any = types.CommitResponse.pb()
ReserveIdsResponse: Any = types.ReserveIdsResponse.pb()
RollbackResponse: Any = types.RollbackResponse.pb()

Call = Callable[[Any], Any]


class Datastore:
    """The calls, by their names. Each takes the request message and returns the response message."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._transactions = Transactions(store)
        self.calls: dict[str, tuple[Any, Call]] = {
            "Lookup": (types.LookupRequest.pb(), self.lookup),
            "RunQuery": (types.RunQueryRequest.pb(), self.run_query),
            "RunAggregationQuery": (types.RunAggregationQueryRequest.pb(), self.run_aggregation_query),
            "BeginTransaction": (types.BeginTransactionRequest.pb(), self.begin_transaction),
            "Commit": (types.CommitRequest.pb(), self.commit),
            "Rollback": (types.RollbackRequest.pb(), self.rollback),
            "AllocateIds": (types.AllocateIdsRequest.pb(), self.allocate_ids),
            "ReserveIds": (types.ReserveIdsRequest.pb(), self.reserve_ids),
        }

    def lookup(self, request: Any) -> Any:
        """Consistent in itself, and with the transaction if there is one."""
        return self._read(request, lambda db: answers.lookup(db, request))

    def run_query(self, request: Any) -> Any:
        """One batch; the client asks on from its cursor."""
        return self._queried(request, answers.run_query)

    def run_aggregation_query(self, request: Any) -> Any:
        """All results count, however many."""
        return self._queried(request, answers.run_aggregation)

    def _queried(self, request: Any, query: Callable[[sqlite3.Connection, Any], Any]) -> Any:
        """A query that is refused for want of an index is asked again if index.yaml has changed meanwhile."""
        try:
            return self._read(request, lambda db: query(db, request))
        except Refused as refused:
            if refused.code != grpc.StatusCode.FAILED_PRECONDITION or not self._reread_indexes():
                raise
        return self._read(request, lambda db: query(db, request))

    def _reread_indexes(self) -> bool:
        try:
            return self._store.reread_indexes()
        except (ValueError, OSError) as error:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error

    def _read(self, request: Any, read: Callable[[sqlite3.Connection], tuple[Any, Any]]) -> Any:
        """Outside or inside of a transaction, or in a new one, whose identifier is then in the answer."""
        refuse_fields(request, "property_mask")
        options = request.read_options
        consistency = options.WhichOneof("consistency_type")
        if consistency == "read_time":
            raise unimplemented("read_time")
        if consistency not in ("transaction", "new_transaction"):
            with self._store.reading() as db:
                return read(db)[0]
        begins = consistency == "new_transaction"
        identifier = self._transactions.begin(options.new_transaction) if begins else options.transaction
        try:
            response = self._transactions.read(identifier, read)
        except Refused:
            if begins:  # nobody knows of it
                self.rollback(types.RollbackRequest.pb()(transaction=identifier))
            raise
        response.transaction = identifier if begins else b""
        return response

    def begin_transaction(self, request: Any) -> Any:
        """A snapshot is taken at once."""
        return BeginTransactionResponse(transaction=self._transactions.begin(request.transaction_options))

    def commit(self, request: Any) -> Any:
        """Answers once the mutations are on disk."""
        validate.request_size(request)
        if request.mode == NON_TRANSACTIONAL:
            if request.WhichOneof("transaction_selector"):
                raise invalid("a non-transactional commit names no transaction.")
        elif request.WhichOneof("transaction_selector") == "transaction":
            return self._commit_transaction(request)
        elif not request.HasField("single_use_transaction"):
            raise invalid("a transactional commit names a transaction.")
        elif request.single_use_transaction.HasField("read_only"):
            raise invalid("single_use_transaction in a commit request must be READ_WRITE.")
        return self._committed(self._store.write(Commit(request, self._store).apply))

    def _commit_transaction(self, request: Any) -> Any:
        with self._transactions.ending(request.transaction) as transaction:
            if transaction.read_only and request.mutations:
                raise invalid("Cannot modify entities in a read-only transaction.")
            commit = Commit(request, self._store)
            if not request.mutations:
                return self._committed(([], 0, now()))  # what was read is one snapshot: nothing to compare

            def apply(db: sqlite3.Connection) -> Any:
                check(db, transaction)
                return commit.apply(db)

            return self._committed(self._store.write(apply))

    def _committed(self, done: tuple[list[Any], int, int]) -> Any:
        results, updates, version = done
        response = CommitResponse(mutation_results=results, index_updates=updates)
        response.commit_time.FromMicroseconds(version)
        return response

    def rollback(self, request: Any) -> Any:
        """The transaction is over; nothing was written."""
        with self._transactions.ending(request.transaction, failed=True):
            return RollbackResponse()

    def allocate_ids(self, request: Any) -> Any:
        """Ids that no other call gets."""
        for key in request.keys:
            validate.fill_partition(key, request)
            validate.written_key(key, complete=False)
            if key.path[-1].WhichOneof("id_type"):
                raise invalid("AllocateIds takes incomplete keys.")
            key.path[-1].id = random_id()
        return AllocateIdsResponse(keys=request.keys)

    def reserve_ids(self, request: Any) -> Any:
        """Nothing to keep: ids are random among 2**53."""
        for key in request.keys:
            validate.fill_partition(key, request)
            validate.written_key(key, complete=True)
        return ReserveIdsResponse()

    def reset(self, _: Any) -> Any:
        """Forget all entities and transactions, and read index.yaml again."""
        self._transactions.forget()
        self._store.reset()
        self._reread_indexes()
        return empty_pb2.Empty()

    def delete_expired(self) -> None:
        """Delete the entities whose time is over."""
        while self._store.write(lambda db: delete_expired(db, now())):
            pass


class Handler(grpc.GenericRpcHandler):
    """Finds the call for a request, and turns what is refused into its status."""

    def __init__(self, datastore: Datastore) -> None:
        self._handlers = {SERVICE + name: _handler(*call) for name, call in datastore.calls.items()}
        self._handlers[RESET] = _handler(empty_pb2.Empty, datastore.reset)

    def service(self, details: Any) -> Any:
        """The handler of a call: of one that is unknown, a handler that names it."""
        return self._handlers.get(details.method) or _unknown(details.method)


def _handler(message: Any, call: Call) -> Any:
    def answer(request: Any, context: Any) -> Any:
        try:
            return call(request)
        except Refused as refused:
            context.abort(refused.code, str(refused))
        except sqlite3.OperationalError as error:
            context.abort(grpc.StatusCode.INTERNAL, f"the Datastore's file cannot be used: {error}")

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=message.FromString,
        response_serializer=lambda answer: answer.SerializeToString(),
    )


def _unknown(method: str) -> Any:
    def refuse(_: Any, context: Any) -> None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, str(unimplemented(method)))

    return grpc.unary_unary_rpc_method_handler(refuse)


def start(datastore: Datastore, host: str, port: int) -> tuple[grpc.Server, int]:
    """Listen; the server and its port. Raises OSError: the address is taken."""
    address, family = (f"[{host}]", socket.AF_INET6) if ":" in host else (host, socket.AF_INET)
    try:  # gRPC's own words for this take two lines of its log
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise OSError(f"cannot listen on {address}:{port}: {error.strerror}") from error
    limits = [(f"grpc.max_{way}_message_length", MAX_MESSAGE_BYTES) for way in ("receive", "send")]
    # Without SO_REUSEPORT a second server on the same port is an error, not half of the calls.
    server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.so_reuseport", 0), *limits])
    server.add_generic_rpc_handlers([Handler(datastore)])
    bound = server.add_insecure_port(f"{address}:{port}")
    server.start()
    return server, bound


def expire(datastore: Datastore, stopped: threading.Event) -> None:
    """Delete what is over, now and then, until stopped."""
    while not stopped.wait(EXPIRY_SECONDS):
        datastore.delete_expired()
