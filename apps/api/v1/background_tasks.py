"""Background tasks: how far replays of many messages are."""

from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import pagination, parameters
from apps.api.operations import PAGE, Parameter, operation, order
from apps.api.pagination import ListResponse
from apps.api.views import View
from apps.deliveries.background_task import BackgroundTask

LOOKS_BACK = timedelta(days=90)
STATUSES = [str(status) for status in BackgroundTask.Status]
KINDS = [str(kind) for kind in BackgroundTask.Kind]
# What the SDKs can ask for beside these: there are none of them.
OTHER_KINDS = [
    *("application.stats", "message.broadcast", "sdk.generate", "event-type.aggregate"),
    "application.purge_content",
]


class BackgroundTaskData(TypedDict):
    """`messagesSent` of `messagesFound` so far; of messages accepted before `reached` all have been found."""

    messagesSent: int
    messagesFound: int
    appId: str
    endpointId: str
    since: datetime
    until: datetime
    reached: datetime
    error: str | None


class BackgroundTaskOut(TypedDict):
    id: str
    status: Literal["running", "finished", "failed"]
    task: str
    updatedAt: datetime
    data: BackgroundTaskData


def background_task_out(row: BackgroundTask) -> BackgroundTaskOut:
    status: Any = row.status  # one of Status, which a database's text does not say
    return {
        "id": row.pk,
        "status": status,
        "task": row.kind,
        "updatedAt": row.updated_at,
        "data": {
            "messagesSent": row.sent,
            "messagesFound": row.sent + len(row.in_hand) + len(row.planned),
            "appId": row.application_id,
            "endpointId": row.endpoint_id,
            "since": row.since,
            "until": row.until,
            "reached": row.reached,
            "error": row.error or None,
        },
    }


class BackgroundTasks(View):
    @operation(
        "v1.background-task.list",
        {200: ListResponse[BackgroundTaskOut]},
        query=[
            *PAGE,
            order(descending=True),
            Parameter("status", "Only those that stand so.", {"type": "string", "enum": STATUSES}),
            Parameter("task", "Only those of this kind.", {"type": "string", "enum": [*KINDS, *OTHER_KINDS]}),
        ],
    )
    def get(self, request: Request) -> Response:
        """Those of the past 90 days."""
        rows = _rows(self.organization_id)
        if status := parameters.choice(request, "status", STATUSES):
            rows = rows.filter(status=status)
        if kind := parameters.choice(request, "task", [*KINDS, *OTHER_KINDS]):
            rows = rows.filter(kind=kind)
        cursor, descending = parameters.cursor(request), parameters.descending(request, default=True)
        page = pagination.sql_page(rows, "id", cursor, descending=descending)
        return pagination.answer(page, background_task_out)


class OneBackgroundTask(View):
    @operation("v1.background-task.get", {200: BackgroundTaskOut})
    def get(self, _: Request, task_id: str) -> Response:
        return Response(background_task_out(_rows(self.organization_id).get(pk=task_id)))


def _rows(organization_id: str) -> QuerySet[BackgroundTask]:
    return BackgroundTask.objects.filter(
        organization_id=organization_id, created_at__gte=timezone.now() - LOOKS_BACK
    )
