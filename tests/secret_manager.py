"""A Secret Manager that speaks the real gRPC protocol, in the process of the test."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import google_crc32c
import grpc
from google.cloud.secretmanager_v1 import AccessSecretVersionRequest, AccessSecretVersionResponse

METHOD = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion"


class SecretManager(grpc.GenericRpcHandler):
    """Answers from `values`, by `name:version`; the names of some secrets make it fail instead."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.released = threading.Event()
        self.asked: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self.access,
            request_deserializer=AccessSecretVersionRequest.deserialize,
            response_serializer=AccessSecretVersionResponse.serialize,
        )

    def access(
        self, request: AccessSecretVersionRequest, context: grpc.ServicerContext
    ) -> AccessSecretVersionResponse:
        self.asked.append(request.name)
        _, _, _, name, _, version = request.name.split("/")
        if name == "forbidden":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "Permission denied on resource.")
        if name == "hangs":
            self.released.wait()
        if name == "restarts" and self.asked.count(request.name) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Try again.")
        if name == "slow":
            time.sleep(0.3)
        value = self.values.get(f"{name}:{version}")
        if value is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "Secret not found or has no versions.")
        checksum = google_crc32c.value(value) ^ (name == "damaged")
        payload = {"data": value} if name == "unchecked" else {"data": value, "data_crc32c": checksum}
        return AccessSecretVersionResponse(name=request.name, payload=payload)


@contextmanager
def serving(manager: SecretManager) -> Iterator[str]:
    """Its address: what SECRET_MANAGER_EMULATOR_HOST holds."""
    server = grpc.server(ThreadPoolExecutor(16), handlers=[manager])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        manager.released.set()
        server.stop(None).wait()
