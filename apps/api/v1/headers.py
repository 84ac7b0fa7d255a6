"""An endpoint's headers: what is sent to it beside the message."""

from collections.abc import Mapping
from typing import TypedDict

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.exceptions import Invalid
from apps.api.fields import Input, Text
from apps.api.operations import operation
from apps.api.v1 import applications, endpoints
from apps.api.v1.endpoints import Headers
from apps.api.views import View
from apps.applications import endpoint_headers
from apps.applications.models import Endpoint
from apps.core.snapshots import change


class EndpointHeadersIn(Input):
    headers = Headers()


class EndpointHeadersPatchIn(Input):
    headers = serializers.DictField(child=Text(allow_blank=True, allow_null=True))
    delete_headers = serializers.ListField(child=Text(), required=False, allow_null=True)


class EndpointHeadersOut(TypedDict):
    headers: dict[str, str]
    sensitive: list[str]


class EndpointHeaders(View):
    @operation("v1.endpoint.get-headers", {200: EndpointHeadersOut})
    def get(self, _: Request, app_id: str, endpoint_id: str) -> Response:
        """What an endpoint's headers are; of those that look like credentials, the names only."""
        endpoint = self._endpoint(app_id, endpoint_id)
        shown, sensitive = endpoint_headers.without_credentials(endpoint.headers or {})
        return Response(EndpointHeadersOut(headers=shown, sensitive=sensitive))

    @operation("v1.endpoint.update-headers", {204: None}, body=EndpointHeadersIn)
    def put(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        """Replace all of them."""
        endpoint = self._endpoint(app_id, endpoint_id)
        headers = EndpointHeadersIn.read(request.data)["headers"]
        with change(endpoint.application):
            endpoint.refresh_from_db()
            _write(endpoint, headers)
        return Response(status=204)

    @operation("v1.endpoint.patch-headers", {204: None}, body=EndpointHeadersPatchIn)
    def patch(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        """Set those that are named; take away those of null and those in `deleteHeaders`."""
        endpoint = self._endpoint(app_id, endpoint_id)
        fields = EndpointHeadersPatchIn.read(request.data)
        with change(endpoint.application):
            endpoint.refresh_from_db()  # under the application's lock: two changes at once both count
            kept = endpoint.headers or {}
            _write(endpoint, _merged(kept, fields["headers"], fields.get("delete_headers", [])))
        return Response(status=204)

    def _endpoint(self, app_id: str, endpoint_id: str) -> Endpoint:
        return endpoints.find(applications.find(self.organization_id, app_id), endpoint_id)


def _merged(kept: Mapping[str, str], changes: Mapping[str, str | None], taken: list[str]) -> dict[str, str]:
    """Raises Invalid where they can not be sent together."""
    merged = endpoint_headers.merge(kept, changes, taken)
    try:
        endpoint_headers.check(merged)
    except endpoint_headers.BadHeaders as error:
        raise Invalid(["body", "headers"], str(error)) from error
    return merged


def _write(endpoint: Endpoint, headers: dict[str, str]) -> None:
    endpoint.headers = headers or None
    endpoint.save(update_fields=["headers", "updated_at"])
