"""Deliveries, as the API shows them: the messages of an endpoint, and the endpoints of a message."""

from datetime import datetime
from typing import Literal, TypedDict

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import pagination, parameters
from apps.api.operations import MESSAGE_FILTERS, PAGE, STATUS, WINDOW, WITH_CONTENT, operation
from apps.api.pagination import ListResponse
from apps.api.v1 import attempts
from apps.api.v1.endpoints import EndpointOut, endpoint_out
from apps.api.v1.messages import MessageOut, find, message_out
from apps.api.views import View
from apps.applications import routing
from apps.applications.models import Endpoint
from apps.core import ids
from apps.deliveries import lists
from apps.deliveries.models import Delivery, Message

# Cancelled ones are those of endpoints that are gone, which no list of an endpoint shows.
type StatusText = Literal["success", "pending", "fail", "sending"]
STATUSES: dict[StatusText, Literal[0, 1, 2, 3]] = {"success": 0, "pending": 1, "fail": 2, "sending": 3}


class DeliveryOut(TypedDict):
    status: Literal[0, 1, 2, 3]
    statusText: Literal["success", "pending", "fail", "sending"]
    nextAttempt: datetime | None


class EndpointMessageOut(MessageOut, DeliveryOut):
    """A message, and how its delivery to the endpoint stands."""


class MessageEndpointOut(EndpointOut, DeliveryOut):
    """An endpoint, and how the message's delivery to it stands."""


def delivery_out(delivery: Delivery) -> DeliveryOut:
    text: StatusText = next((one for one in STATUSES if one == delivery.shown_status), "fail")
    return {"status": STATUSES[text], "statusText": text, "nextAttempt": delivery.next_attempt_at}


class AttemptedMessages(View):
    @operation(
        "v1.message-attempt.list-attempted-messages",
        {200: ListResponse[EndpointMessageOut]},
        query=[*PAGE, *WINDOW, *MESSAGE_FILTERS, STATUS, WITH_CONTENT],
    )
    def get(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        with_content = parameters.flag(request, "with_content", default=True)
        route = routing.find(self.organization_id, app_id)
        page = lists.deliveries_to_endpoint(
            route.application_id,
            attempts.destination(route, endpoint_id).id,
            parameters.cursor(request),
            parameters.window(request),
            parameters.filters(request, *parameters.status(request)),
        )
        found = lists.messages_by_id(route.application_id, [one.message_id for one in page.items])

        def out(delivery: Delivery) -> EndpointMessageOut:
            message = found.get(delivery.message_id) or _gone(delivery)
            return {**message_out(message, with_content=with_content), **delivery_out(delivery)}

        return pagination.answer(page, out)


def _gone(delivery: Delivery) -> Message:
    """What is known of a message that expired before its delivery did: each is deleted in its own time."""
    return Message(
        message_id=delivery.message_id,
        event_type=next((one[5:] for one in delivery.facets if one.startswith("type:")), ""),
        payload=b"{}",
        created_at=ids.time_of(delivery.message_id),
    )


class AttemptedDestinations(View):
    @operation(
        "v1.message-attempt.list-attempted-destinations",
        {200: ListResponse[MessageEndpointOut]},
        query=PAGE,
    )
    def get(self, request: Request, app_id: str, msg_id: str) -> Response:
        application_id = routing.find(self.organization_id, app_id).application_id
        message = find(application_id, msg_id)
        page = lists.deliveries_of_message(application_id, message.message_id, parameters.cursor(request))
        rows = Endpoint.objects.filter(application_id=application_id)
        endpoints = rows.in_bulk([delivery.endpoint_id for delivery in page.items])

        def out(delivery: Delivery) -> MessageEndpointOut | None:
            endpoint = endpoints.get(delivery.endpoint_id)
            return {**endpoint_out(endpoint), **delivery_out(delivery)} if endpoint else None

        return pagination.answer(page, out, id_of=lambda delivery: delivery.endpoint_id)
