"""Event types of the organization."""

from datetime import datetime
from typing import Any, TypedDict

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, StrIndex
from django.db.models.lookups import GreaterThan
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.credentials import Credential
from apps.api import pagination, parameters
from apps.api.exceptions import Conflict
from apps.api.fields import Boolean, Input, Name, Names, Object, Patch, Text, assign
from apps.api.idempotency import digest, once
from apps.api.operations import PAGE, boolean, operation, order
from apps.api.pagination import ListResponse
from apps.api.views import View
from apps.applications.models import EventType
from apps.applications.tokens import ApplicationCredential


class FeatureFlags(Names):
    """One name too, as the open server and SDKs 1.x send it."""

    def to_internal_value(self, data: Any) -> list[str]:
        return super().to_internal_value([data] if isinstance(data, str) else data)


class EventTypeUpdate(Input):
    description = Text(allow_blank=True)
    archived = Boolean(required=False, allow_null=True)
    deprecated = Boolean(required=False, allow_null=True)
    schemas = Object(required=False, allow_null=True)
    group_name = Name(required=False, allow_null=True)
    feature_flags = FeatureFlags(required=False, allow_null=True)

    def validate_group_name(self, name: str | None) -> str:
        return name or ""


class EventTypeIn(EventTypeUpdate):
    name = Name()


class EventTypePatch(Patch, EventTypeUpdate):
    archived = Boolean()
    deprecated = Boolean()


class EventTypeOut(TypedDict):
    name: str
    description: str
    archived: bool
    deprecated: bool
    schemas: dict[str, Any] | None
    groupName: str | None
    featureFlags: list[str] | None
    featureFlag: str | None
    createdAt: datetime
    updatedAt: datetime


def event_type_out(event_type: EventType, *, with_content: bool = True) -> EventTypeOut:
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


def find(organization_id: str, name: str) -> EventType:
    """Raises EventType.DoesNotExist, for another organization's too."""
    return EventType.objects.get(organization_id=organization_id, name=name)


def visible_to(credential: Credential) -> QuerySet[EventType]:
    """The organization's; to a token only those without a feature flag and those with one of its own."""
    rows = EventType.objects.filter(organization_id=credential.organization_id)
    if not isinstance(credential, ApplicationCredential):
        return rows
    # The flags' text is searched: SQLite can not ask a JSON list what it contains.
    rows = rows.alias(flags=Cast("feature_flags", TextField()))
    seen = Q(feature_flags__isnull=True) | Q(flags="[]")
    for flag in credential.feature_flags:
        seen |= Q(GreaterThan(StrIndex("flags", Value(f'"{flag}"')), 0))
    return rows.filter(seen)


class EventTypes(View):
    @operation(
        "v1.event-type.list",
        {200: ListResponse[EventTypeOut]},
        query=[
            *PAGE,
            order(descending=False),
            boolean("include_archived", "Whether archived event types are in the list.", default=False),
            boolean("with_content", "Whether schemas are in the answer.", default=False),
        ],
    )
    def get(self, request: Request) -> Response:
        rows = visible_to(self.credential)
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

    @operation("v1.event-type.create", {201: EventTypeOut}, body=EventTypeIn, errors=[409])
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
    @operation("v1.event-type.get", {200: EventTypeOut})
    def get(self, _: Request, event_type_name: str) -> Response:
        return Response(event_type_out(visible_to(self.credential).get(name=event_type_name)))

    @operation("v1.event-type.update", {200: EventTypeOut, 201: EventTypeOut}, body=EventTypeUpdate)
    def put(self, request: Request, event_type_name: str) -> Response:
        """Create or replace."""
        event_type, created = EventType.objects.update_or_create(
            organization_id=self.organization_id,
            name=event_type_name,
            defaults=EventTypeUpdate.read_all(request.data, EventType),
        )
        return Response(event_type_out(event_type), 201 if created else 200)

    @operation("patch_event_type", {200: EventTypeOut}, body=EventTypePatch)
    def patch(self, request: Request, event_type_name: str) -> Response:
        event_type = self._change(event_type_name, EventTypePatch.read(request.data))
        return Response(event_type_out(event_type))

    @operation(
        "v1.event-type.delete",
        {204: None},
        query=[boolean("expunge", "Delete it for good, not only archive it.", default=False)],
    )
    def delete(self, request: Request, event_type_name: str) -> Response:
        """Archive it; with `expunge`, delete it for good."""
        if parameters.flag(request, "expunge", default=False):
            find(self.organization_id, event_type_name).delete()
        else:
            self._change(event_type_name, {"archived": True})
        return Response(status=204)

    @transaction.atomic
    def _change(self, event_type_name: str, fields: dict[str, Any]) -> EventType:
        """Under the row's lock: a deletion comes before or after, not between."""
        event_type = EventType.objects.select_for_update().get(
            organization_id=self.organization_id, name=event_type_name
        )
        assign(event_type, fields)
        event_type.save(update_fields=[*fields, "updated_at"])
        return event_type
