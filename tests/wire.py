"""Counts Datastore calls where they pass: a gRPC server between the client and the emulator.

Knows nothing of the code under test: it forwards bytes, and parses a copy to count what is read and written.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.cloud.datastore_v1.types import CommitRequest, LookupRequest


class Wire(grpc.GenericRpcHandler):
    """Forwards every call to `upstream`, and can be told to fail."""

    def __init__(self, upstream: str) -> None:
        self.channel = grpc.insecure_channel(upstream)
        self.address = ""
        self.reset()

    def reset(self) -> None:
        """Forget what was counted and every fault."""
        self.calls: Counter[str] = Counter()
        self.mutations: list[tuple[str, str]] = []  # (insert | update | upsert | delete, kind)
        self.looked_up: list[str] = []  # the kind of each key
        self.sizes: dict[tuple[str, str], int] = {}  # bytes of the last state of each entity, by kind and key
        # For each coming Commit: a status to answer instead of forwarding ("before") or after it.
        self.commit_faults: list[tuple[str, grpc.StatusCode]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._forward(details.method, request, context)
        )

    def _forward(self, method: str, request: bytes, context: Any) -> bytes:
        name = method.rpartition("/")[2]
        self.calls[name] += 1
        fault = ("", None)
        if name == "Lookup":
            self.looked_up += [key.path[-1].kind for key in LookupRequest.deserialize(request).keys]
        if name == "Commit":
            self._count_mutations(CommitRequest.deserialize(request))
            fault = self.commit_faults.pop(0) if self.commit_faults else fault
        if fault[0] == "before":
            context.abort(fault[1], "told to fail")
        answer = b""
        try:
            answer = self.channel.unary_unary(method)(request, timeout=10)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        if fault[0] == "after":
            context.abort(fault[1], "the answer got lost")
        return answer

    def _count_mutations(self, request: CommitRequest) -> None:
        for mutation in request.mutations:
            operation = mutation._pb.WhichOneof("operation")
            entity = getattr(mutation, operation)
            key = entity if operation == "delete" else entity.key
            self.mutations.append((operation, key.path[-1].kind))
            self.sizes[key.path[-1].kind, key.path[-1].name] = entity._pb.ByteSize()


@contextmanager
def between(upstream: str) -> Iterator[Wire]:
    """A running Wire on a free port of this machine."""
    wire = Wire(upstream)
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers([wire])
    wire.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield wire
    finally:
        server.stop(grace=None).wait()
        wire.channel.close()
