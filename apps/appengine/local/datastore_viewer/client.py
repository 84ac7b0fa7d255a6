"""The two calls that the page makes: https://cloud.google.com/datastore/docs/reference/data/rpc"""

from typing import Any

import grpc.aio

from apps.appengine.local.datastore.messages import types

TIMEOUT_SECONDS = 10.0


class Client:
    """A project in the Datastore at HOST:PORT. Every call raises grpc.aio.AioRpcError."""

    def __init__(self, address: str, project: str) -> None:
        self.address, self.project = address, project
        self._channel = grpc.aio.insecure_channel(
            address,
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_reconnect_backoff_ms", 1000)],
        )

    def partition(self, namespace: str) -> Any:
        return types.PartitionId.pb()(project_id=self.project, namespace_id=namespace)

    async def lookup(self, key: Any) -> Any:
        """The result with the entity, or None."""
        request = types.LookupRequest.pb()(project_id=self.project, keys=[key])
        answer = await self._call("Lookup", request, types.LookupResponse.pb())
        return answer.found[0] if answer.found else None

    async def run_query(self, query: Any, namespace: str) -> Any:
        """One batch, with the plan of the query where the Datastore explains it."""
        request = types.RunQueryRequest.pb()(
            project_id=self.project, partition_id=self.partition(namespace), query=query
        )
        request.explain_options.analyze = True
        try:
            return await self._call("RunQuery", request, types.RunQueryResponse.pb())
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
        request.ClearField("explain_options")
        return await self._call("RunQuery", request, types.RunQueryResponse.pb())

    async def _call(self, name: str, request: Any, response: Any) -> Any:
        call = self._channel.unary_unary(
            f"/google.datastore.v1.Datastore/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return await call(request, timeout=TIMEOUT_SECONDS)
