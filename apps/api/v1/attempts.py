"""Attempts: what was sent to which endpoint, and what it answered."""

from datetime import datetime
from typing import Literal, NotRequired, TypedDict

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import pagination, parameters
from apps.api.idempotency import digest, once
from apps.api.operations import (
    ATTEMPT_FILTERS,
    PAGE,
    WINDOW,
    WITH_CONTENT,
    EmptyResponse,
    Parameter,
    boolean,
    operation,
)
from apps.api.pagination import ListResponse
from apps.api.v1 import messages
from apps.api.views import View
from apps.applications import routing
from apps.applications.models import Endpoint
from apps.applications.routing import Destination, Route
from apps.core import datastore
from apps.core.cursors import Page
from apps.deliveries import expunge, lists, replay
from apps.deliveries.lists import Filters
from apps.deliveries.models import Attempt, facet

TRIGGERS: dict[str, Literal[0, 1]] = {Attempt.SCHEDULED: 0, Attempt.MANUAL: 1}


class MessageAttemptOut(TypedDict):
    id: str
    msgId: str
    endpointId: str
    url: str
    response: str
    responseStatusCode: int
    responseDurationMs: int
    status: Literal[0, 2]
    statusText: Literal["success", "fail"]
    triggerType: Literal[0, 1]
    timestamp: datetime
    msg: NotRequired[messages.MessageOut | None]


def attempt_out(attempt: Attempt, *, with_content: bool = True) -> MessageAttemptOut:
    return {
        "id": attempt.attempt_id,
        "msgId": attempt.message_id,
        "endpointId": attempt.endpoint_id,
        "url": attempt.url,
        "response": (attempt.response or attempt.error) if with_content else "",
        "responseStatusCode": attempt.status_code,
        "responseDurationMs": attempt.duration_ms,
        "status": 0 if attempt.succeeded else 2,
        "statusText": "success" if attempt.succeeded else "fail",
        "triggerType": TRIGGERS[attempt.trigger],
        "timestamp": attempt.started_at,
    }


def destination(route: Route, id_or_uid: str) -> Destination:
    """Raises Endpoint.DoesNotExist."""
    for one in route.destinations:
        if id_or_uid in {one.id, one.uid}:
            return one
    raise Endpoint.DoesNotExist


WITH_MSG = boolean("with_msg", "Whether each attempt brings its message.", default=False)
ENDPOINT_ID = Parameter("endpoint_id", "Only attempts at this endpoint.", {"type": "string"})


class AttemptsOfMessage(View):
    @operation(
        "v1.message-attempt.list-by-msg",
        {200: ListResponse[MessageAttemptOut]},
        query=[*PAGE, *WINDOW, *ATTEMPT_FILTERS, ENDPOINT_ID, WITH_CONTENT, WITH_MSG],
    )
    def get(self, request: Request, app_id: str, msg_id: str, endpoint_id: str | None = None) -> Response:
        """All of them, or those at one endpoint."""
        route = routing.find(self.organization_id, app_id)
        message = messages.find(route.application_id, msg_id)
        wanted = endpoint_id or request.query_params.get("endpoint_id")
        page = lists.attempts_of_message(
            route.application_id,
            message.message_id,
            parameters.cursor(request),
            parameters.window(request),
            _filters(request, *([facet("endpoint", _endpoint_id(route, wanted))] if wanted else [])),
        )
        return _answer(page, request, route.application_id)


def _filters(request: Request, *more: str) -> Filters:
    """Raises Invalid."""
    return parameters.filters(
        request, *more, *parameters.status(request), *parameters.status_code_class(request)
    )


def _endpoint_id(route: Route, id_or_uid: str) -> str:
    """Also of an endpoint that is gone: its attempts are still there. Raises Endpoint.DoesNotExist."""
    is_id = id_or_uid.startswith(Endpoint.ID_PREFIX)
    return id_or_uid if is_id else destination(route, id_or_uid).id


class AttemptsOfEndpoint(View):
    @operation(
        "v1.message-attempt.list-by-endpoint",
        {200: ListResponse[MessageAttemptOut]},
        query=[*PAGE, *WINDOW, *ATTEMPT_FILTERS, WITH_CONTENT, WITH_MSG],
    )
    def get(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        route = routing.find(self.organization_id, app_id)
        page = lists.attempts_of_endpoint(
            route.application_id,
            destination(route, endpoint_id).id,
            parameters.cursor(request),
            parameters.window(request),
            _filters(request),
        )
        return _answer(page, request, route.application_id)


class OneAttempt(View):
    @operation("v1.message-attempt.get", {200: MessageAttemptOut})
    def get(self, _: Request, app_id: str, msg_id: str, attempt_id: str) -> Response:
        application_id = routing.find(self.organization_id, app_id).application_id
        return Response(attempt_out(_find(application_id, msg_id, attempt_id)))


class AttemptContent(View):
    @operation("v1.message-attempt.expunge-content", {204: None})
    def delete(self, _: Request, app_id: str, msg_id: str, attempt_id: str) -> Response:
        """Delete what the endpoint answered; the status code stays."""
        application_id = routing.find(self.organization_id, app_id).application_id
        expunge.attempt_content(_find(application_id, msg_id, attempt_id))
        return Response(status=204)


def _find(application_id: str, msg_id: str, attempt_id: str) -> Attempt:
    """Raises NotFound."""
    message = messages.find(application_id, msg_id)
    (attempt,) = datastore.lookup([Attempt.key_of(application_id, attempt_id)])
    if attempt is None or attempt.message_id != message.message_id:
        raise NotFound("Attempt not found.")
    found: Attempt = attempt
    return found


class Resend(View):
    @operation("v1.message-attempt.resend", {202: EmptyResponse})
    def post(self, _: Request, app_id: str, msg_id: str, endpoint_id: str) -> Response:
        route = routing.find(self.organization_id, app_id)
        message = messages.find(route.application_id, msg_id)
        to = destination(route, endpoint_id)

        def act() -> Response:
            replay.resend(route, message, to.id)
            return Response({}, 202)

        path = ("app", route.application_id, "msg", message.message_id, "endpoint", to.id, "resend")
        return once(digest(self, *path), act)


def _answer(page: Page[Attempt], request: Request, application_id: str) -> Response:
    with_content = parameters.flag(request, "with_content", default=True)
    if not parameters.flag(request, "with_msg", default=False):
        return pagination.answer(page, lambda attempt: attempt_out(attempt, with_content=with_content))
    found = lists.messages_by_id(application_id, [attempt.message_id for attempt in page.items])

    def out(attempt: Attempt) -> MessageAttemptOut:
        message = found.get(attempt.message_id)
        shown = messages.message_out(message, with_content=with_content) if message else None
        return {**attempt_out(attempt, with_content=with_content), "msg": shown}

    return pagination.answer(page, out)
