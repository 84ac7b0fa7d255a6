"""Endpoints of an application."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, TypedDict

from django.db import IntegrityError, transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import pagination, parameters
from apps.api.exceptions import Conflict
from apps.api.fields import MAX_RATE, Boolean, Input, Integer, Metadata, Name, Names, Patch, Text, assign
from apps.api.idempotency import digest, once
from apps.api.not_implemented import refuse_fields
from apps.api.operations import PAGE, operation, order
from apps.api.pagination import ListResponse
from apps.api.v1 import applications
from apps.api.views import View
from apps.applications import addresses, endpoint_headers, health, signing_secrets
from apps.applications.models import Application, Endpoint
from apps.core.snapshots import change

LONGEST_URL = 65_536
# What PUT and PATCH do not change: there are paths for both.
NOT_UPDATED = ["secret", "headers"]


class SigningSecret(Text):
    """`whsec_` + base64, the prefix may be left out, or `whsk_` + base64 of an ed25519 private key."""

    json_schema: ClassVar = {"pattern": "^(whsec_|whsk_)?[a-zA-Z0-9+/]{31,100}={0,2}$"}

    def to_internal_value(self, data: Any) -> str:
        try:
            return signing_secrets.parse(super().to_internal_value(data))
        except signing_secrets.BadSecret as error:
            raise serializers.ValidationError(str(error)) from error


class Url(Text):
    """Where messages can be sent, as far as can be told now."""

    json_schema: ClassVar = {
        "format": "uri",
        "pattern": r"^https?://(\[[0-9a-fA-F:.]+\]|[^\s/?#@:\[\]]+)(:[0-9]{1,5})?([/?#]\S*)?$",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": LONGEST_URL, **options})

    def to_internal_value(self, data: Any) -> str:
        url = super().to_internal_value(data)
        try:
            addresses.check_url(url)
        except addresses.BadUrl as error:
            raise serializers.ValidationError(str(error)) from error
        return url


class Headers(serializers.DictField):
    """Headers of the customer's own, by name."""

    child = Text(allow_blank=True)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        headers: dict[str, str] = super().to_internal_value(data)
        try:
            endpoint_headers.check(headers)
        except endpoint_headers.BadHeaders as error:
            raise serializers.ValidationError(str(error)) from error
        return headers


class EndpointUpdate(Input):
    url = Url()
    uid = Name(id_prefix=Endpoint.ID_PREFIX, required=False, allow_null=True)
    description = Text(required=False, allow_null=True, allow_blank=True)
    disabled = Boolean(required=False, allow_null=True)
    event_types = Names(required=False, allow_null=True)
    channels = Names(child=Name(max_length=128), max_length=10, required=False, allow_null=True)
    throttle_rate = Integer(min_value=1, max_value=MAX_RATE, required=False, allow_null=True)
    metadata = Metadata(required=False, allow_null=True)


class EndpointIn(EndpointUpdate):
    secret = SigningSecret(required=False, allow_null=True)
    headers = Headers(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs["signing_secret"] = attrs.pop("secret", None)
        return attrs


class EndpointPatch(Patch, EndpointUpdate):
    description = Text(allow_blank=True)
    disabled = Boolean()
    metadata = Metadata()


class EndpointOut(TypedDict):
    id: str
    uid: str | None
    url: str
    description: str
    disabled: bool
    eventTypes: list[str] | None
    filterTypes: list[str] | None
    channels: list[str] | None
    throttleRate: int | None
    rateLimit: int | None
    metadata: dict[str, str]
    version: int
    createdAt: datetime
    updatedAt: datetime


def endpoint_out(endpoint: Endpoint) -> EndpointOut:
    return {
        "id": endpoint.pk,
        "uid": endpoint.uid,
        "url": endpoint.url,
        "description": endpoint.description,
        "disabled": endpoint.disabled,
        "eventTypes": endpoint.event_types,
        "filterTypes": endpoint.event_types,
        "channels": endpoint.channels,
        "throttleRate": endpoint.throttle_rate,
        "rateLimit": endpoint.throttle_rate,
        "metadata": endpoint.metadata,
        "version": 1,  # SDKs 1.x require it
        "createdAt": endpoint.created_at,
        "updatedAt": endpoint.updated_at,
    }


def find(application: Application, id_or_uid: str) -> Endpoint:
    """Raises Endpoint.DoesNotExist."""
    column = "pk" if id_or_uid.startswith(Endpoint.ID_PREFIX) else "uid"
    return application.endpoints.get(**{column: id_or_uid})


def create(application: Application, fields: dict[str, Any]) -> Endpoint:
    """Raises Conflict."""
    with change(application):
        # The change holds the application's row: it is not deleted meanwhile, and the count holds.
        application.refresh_from_db()
        if application.endpoints.count() >= Endpoint.MAX_PER_APPLICATION:
            raise Conflict(f"An application has at most {Endpoint.MAX_PER_APPLICATION} endpoints.")
        endpoint = Endpoint(application=application, **fields)
        _save(endpoint)
    return endpoint


def _save(endpoint: Endpoint, columns: Sequence[str] | None = None) -> None:
    """Write all columns, or these. Raises Conflict."""
    try:
        with transaction.atomic():
            endpoint.save(update_fields=columns)
    except IntegrityError:
        raise Conflict("An endpoint with this uid exists already.") from None


class Endpoints(View):
    @operation("v1.endpoint.list", {200: ListResponse[EndpointOut]}, query=[*PAGE, order(descending=True)])
    def get(self, request: Request, app_id: str) -> Response:
        page = pagination.sql_page(
            applications.find(self.organization_id, app_id).endpoints.all(),
            "id",
            parameters.cursor(request),
            descending=parameters.descending(request, default=True),
        )
        return pagination.answer(page, endpoint_out)

    @operation("v1.endpoint.create", {201: EndpointOut}, body=EndpointIn, errors=[409])
    def post(self, request: Request, app_id: str) -> Response:
        application = applications.find(self.organization_id, app_id)
        fields = EndpointIn.read(request.data)
        return once(
            digest(self, "app", application.pk, "endpoint"), lambda: self._create(application, fields)
        )

    def _create(self, application: Application, fields: dict[str, Any]) -> Response:
        return Response(endpoint_out(create(application, fields)), 201)


class OneEndpoint(View):
    @operation("v1.endpoint.get", {200: EndpointOut})
    def get(self, _: Request, app_id: str, endpoint_id: str) -> Response:
        return Response(endpoint_out(find(applications.find(self.organization_id, app_id), endpoint_id)))

    @operation("v1.endpoint.update", {200: EndpointOut, 201: EndpointOut}, body=EndpointUpdate, errors=[409])
    def put(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        """Create or replace; an id that is unknown is 404. Signing secret and headers stay as they are."""
        refuse_fields(request.data, NOT_UPDATED)
        application = applications.find(self.organization_id, app_id)
        fields = EndpointUpdate.read_all(request.data, Endpoint)
        is_uid = not endpoint_id.startswith(Endpoint.ID_PREFIX)
        if is_uid and fields["uid"] is None:
            fields["uid"] = endpoint_id
        try:
            endpoint = find(application, endpoint_id)
        except Endpoint.DoesNotExist:
            if not is_uid:
                raise
            return Response(endpoint_out(create(application, fields)), 201)
        return self._change(application, endpoint, fields)

    @operation("patch_endpoint", {200: EndpointOut}, body=EndpointPatch, errors=[409])
    def patch(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        refuse_fields(request.data, NOT_UPDATED)
        application = applications.find(self.organization_id, app_id)
        endpoint = find(application, endpoint_id)
        return self._change(application, endpoint, EndpointPatch.read(request.data))

    def _change(self, application: Application, endpoint: Endpoint, fields: dict[str, Any]) -> Response:
        with change(application):
            endpoint.refresh_from_db()
            was_disabled = endpoint.disabled
            assign(endpoint, fields)
            forgotten = health.begin_anew(endpoint) if was_disabled and not endpoint.disabled else []
            _save(endpoint, [*fields, *forgotten, "updated_at"])
        return Response(endpoint_out(endpoint))

    @operation("v1.endpoint.delete", {204: None})
    def delete(self, _: Request, app_id: str, endpoint_id: str) -> Response:
        application = applications.find(self.organization_id, app_id)
        endpoint = find(application, endpoint_id)
        with change(application):
            endpoint.delete()
        return Response(status=204)
