"""Replays of many messages to one endpoint: recover, replay-missing, bulk-replay."""

from datetime import datetime
from typing import Any, Literal, TypedDict

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.exceptions import Conflict, Invalid, NotImplementedYet
from apps.api.fields import Input, Integer, Name, Names
from apps.api.idempotency import digest, once
from apps.api.operations import operation
from apps.api.parameters import MAX_EVENT_TYPES, STATUSES
from apps.api.v1 import attempts
from apps.api.views import View
from apps.applications import routing
from apps.deliveries import replay
from apps.deliveries.background_task import BackgroundTask
from apps.deliveries.models import facet
from apps.deliveries.replay import Selection

Kind = BackgroundTask.Kind


class RecoverIn(Input):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(required=False, allow_null=True)


class ReplayIn(RecoverIn):
    pass


class BulkReplayIn(RecoverIn):
    event_types = Names(max_length=MAX_EVENT_TYPES, required=False, allow_null=True)
    channel = Name(max_length=128, required=False, allow_null=True)
    tag = Name(max_length=128, required=False, allow_null=True)
    status = Integer(min_value=0, max_value=3, required=False, allow_null=True)


class ReplayOut(TypedDict):
    id: str
    status: Literal["running"]
    task: str
    updatedAt: datetime


class RecoverOut(ReplayOut):
    """The background task that carries it out."""


class Recover(View):
    @operation("v1.endpoint.recover", {202: RecoverOut}, body=RecoverIn, errors=[409])
    def post(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        """Send what failed since a time, or was held while the endpoint was disabled: a background task."""
        fields = RecoverIn.read(request.data)
        return _begin(self, Kind.RECOVER, app_id, endpoint_id, Selection(**fields))


class ReplayMissing(View):
    @operation("v1.endpoint.replay-missing", {202: ReplayOut}, body=ReplayIn, errors=[409])
    def post(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        """Send what the endpoint wants and was never sent since a time, or failed: a background task."""
        fields = ReplayIn.read(request.data)
        return _begin(self, Kind.REPLAY_MISSING, app_id, endpoint_id, Selection(**fields))


class BulkReplay(View):
    @operation("v1.endpoint.bulk-replay", {202: ReplayOut}, body=BulkReplayIn, errors=[409])
    def post(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        """Send again what was sent since a time, what succeeded too, by filters: a background task."""
        fields = BulkReplayIn.read(request.data)
        body: Any = request.data
        if body.get("statusCodeClass") is not None:  # 0 is one, too
            raise NotImplementedYet("The field 'statusCodeClass' is not implemented yet.")
        return _begin(self, Kind.BULK_REPLAY, app_id, endpoint_id, _selection(**fields))


def _selection(
    *,
    since: datetime,
    until: datetime | None = None,
    event_types: list[str] | None = None,
    status: int | None = None,
    **names: str,
) -> Selection:
    facets = [facet(name, value) for name, value in names.items()]
    if status is not None:
        facets.append(facet("status", STATUSES[str(status)]))
    return Selection(since, until, facets, event_types or ())


def _begin(view: View, kind: Kind, app_id: str, endpoint_id: str, selection: Selection) -> Response:
    route = routing.find(view.organization_id, app_id)
    destination = attempts.destination(route, endpoint_id)

    def act() -> Response:
        try:
            row = replay.begin(kind, route, destination, selection)
        except replay.EndpointDisabled:
            raise Conflict("The endpoint is disabled: enable it first.") from None
        except replay.EmptyWindow:
            raise Invalid(["body", "since"], "Must be in the past, and before until.") from None
        return Response(ReplayOut(id=row.pk, status="running", task=row.kind, updatedAt=row.updated_at), 202)

    return once(digest(view, "app", route.application_id, "endpoint", destination.id, kind), act)
