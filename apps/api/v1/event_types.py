"""Event types of the organization."""

from typing import Any

from django.db import IntegrityError, transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import pagination, parameters
from apps.api.exceptions import Conflict
from apps.api.fields import Input, Name, Names, Object, Text
from apps.api.idempotency import digest, once
from apps.api.views import View
from apps.applications.models import EventType


class EventTypeIn(Input):
    name = Name()
    description = Text(allow_blank=True)
    archived = serializers.BooleanField(required=False, allow_null=True)
    deprecated = serializers.BooleanField(required=False, allow_null=True)
    schemas = Object(required=False, allow_null=True)
    group_name = Name(required=False, allow_null=True)
    feature_flags = Names(required=False, allow_null=True)
    feature_flag = Name(required=False, allow_null=True)  # the open server and SDKs 1.x

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (single := attrs.pop("feature_flag", None)) and not attrs.get("feature_flags"):
            attrs["feature_flags"] = [single]
        return attrs


def event_type_out(event_type: EventType, *, with_content: bool = True) -> dict[str, Any]:
    return {
        "name": event_type.name,
        "description": event_type.description,
        "archived": event_type.archived,
        "deprecated": event_type.deprecated,
        "schemas": event_type.schemas if with_content else None,
        "groupName": event_type.group_name or None,
        "featureFlags": event_type.feature_flags,
        "featureFlag": event_type.feature_flags[0] if event_type.feature_flags else None,
        "createdAt": event_type.created_at,
        "updatedAt": event_type.updated_at,
    }


class EventTypes(View):
    def get(self, request: Request) -> Response:
        rows = EventType.objects.filter(organization_id=self.organization_id)
        if not parameters.flag(request, "include_archived", default=False):
            rows = rows.filter(archived=False)
        with_content = parameters.flag(request, "with_content", default=False)
        page = pagination.sql_page(
            rows,
            "name",
            parameters.cursor(request),
            descending=parameters.descending(request, default=False),
        )
        return pagination.answer(
            page, lambda event_type: event_type_out(event_type, with_content=with_content), "name"
        )

    def post(self, request: Request) -> Response:
        fields = EventTypeIn.read(request.data)
        return once(digest(self, "event-type"), lambda: self._create(fields))

    def _create(self, fields: dict[str, Any]) -> Response:
        """Create it, or take it out of the archive with the values given now."""
        rows = EventType.objects.filter(organization_id=self.organization_id)
        rows.filter(name=fields["name"], archived=True).delete()
        try:
            with transaction.atomic():
                event_type = rows.create(organization_id=self.organization_id, **fields)
        except IntegrityError:
            raise Conflict("An event type with this name exists already.") from None
        return Response(event_type_out(event_type), 201)


class OneEventType(View):
    def get(self, _: Request, event_type_name: str) -> Response:
        event_type = EventType.objects.get(organization_id=self.organization_id, name=event_type_name)
        return Response(event_type_out(event_type))
