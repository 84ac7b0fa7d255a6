"""Messages of an application. Creating one is the hot path: authentication and route are its only SQL."""

import json
import logging
from datetime import datetime, timedelta
from typing import Any, TypedDict

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import pagination, parameters
from apps.api.exceptions import TooLarge
from apps.api.fields import Input, Integer, Name, Names, Object
from apps.api.idempotency import digest
from apps.api.not_implemented import refuse_fields
from apps.api.operations import MESSAGE_FILTERS, PAGE, WINDOW, WITH_CONTENT, operation
from apps.api.pagination import ListResponse
from apps.api.views import View
from apps.applications import routing
from apps.core import datastore
from apps.deliveries import expunge, lists, payloads
from apps.deliveries.accept import Draft, accept
from apps.deliveries.models import EventIdRecord, Message

log = logging.getLogger(__name__)

ID_PREFIX = "msg_"
MAX_CHANNELS = 5


class MessageIn(Input):
    event_type = Name()
    payload = Object()
    event_id = Name(id_prefix=ID_PREFIX, required=False, allow_null=True)
    channels = Names(child=Name(max_length=128), max_length=MAX_CHANNELS, required=False, allow_null=True)
    tags = Names(child=Name(max_length=128), required=False, allow_null=True)
    payload_retention_period = Integer(min_value=5, max_value=90, required=False, allow_null=True)


def draft(body: Any, idempotency_digest: str | None) -> Draft:
    """The message in a request body. Raises ValidationError, TooLarge, NotImplementedYet."""
    refuse_fields(body, ["application", "transformationsParams", "deliverAt", "payloadRetentionHours"])
    fields = MessageIn.read(body)
    payload = encode(fields.pop("payload"))
    if len(payload) > payloads.LARGEST:
        raise TooLarge(f"The payload is over {payloads.LARGEST:,} bytes.")
    if days := fields.pop("payload_retention_period", None):
        fields["kept_for"] = timedelta(days=days)
    return Draft(payload=payload, idempotency_digest=idempotency_digest, **fields)


def encode(payload: dict[str, Any]) -> bytes:
    """The bytes that are signed and delivered: compact JSON in UTF-8."""
    try:
        return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8, only an escape
        return json.dumps(payload, separators=(",", ":")).encode()


class MessageOut(TypedDict):
    id: str
    eventId: str | None
    eventType: str
    payload: dict[str, Any]
    channels: list[str] | None
    tags: list[str] | None
    timestamp: datetime


def message_out(message: Message, *, with_content: bool) -> MessageOut:
    return {
        "id": message.message_id,
        "eventId": message.event_id,
        "eventType": message.event_type,
        "payload": _payload(message) if with_content else {},
        "channels": message.channels or None,
        "tags": message.tags or None,
        "timestamp": message.created_at,
    }


def _payload(message: Message) -> dict[str, Any]:
    """The payload, or Svix's sign that there is none any more."""
    payload: dict[str, Any] = {"expired": True} if message.expunged else json.loads(payloads.read(message))
    return payload


def accepted_out(message: Message, *, with_content: bool) -> MessageOut:
    """What a creation answers: the message is accepted, and storage that fails now does not change that."""
    try:
        return message_out(message, with_content=with_content)
    except Exception:  # whatever storage raises, of which each kind has its own
        log.exception("%s is accepted, but its payload could not be read back", message.message_id)
        return message_out(message, with_content=False)


def find(application_id: str, id_or_event_id: str) -> Message:
    """Raises NotFound."""
    message_id = id_or_event_id
    if not message_id.startswith(ID_PREFIX):
        (record,) = datastore.lookup([EventIdRecord.key_of(application_id, id_or_event_id)])
        if record is None:
            raise NotFound("Message not found.")
        message_id = record.message_id
    (message,) = datastore.lookup([Message.key_of(application_id, message_id)])
    if message is None:
        raise NotFound("Message not found.")
    found: Message = message
    return found


class Messages(View):
    @operation(
        "v1.message.list",
        {200: ListResponse[MessageOut]},
        query=[*PAGE, *WINDOW, *MESSAGE_FILTERS, WITH_CONTENT],
    )
    def get(self, request: Request, app_id: str) -> Response:
        with_content = parameters.flag(request, "with_content", default=True)
        page = lists.messages(
            routing.find(self.organization_id, app_id).application_id,
            parameters.cursor(request),
            parameters.window(request),
            parameters.filters(request),
        )
        return pagination.answer(page, lambda message: message_out(message, with_content=with_content))

    @operation("v1.message.create", {202: MessageOut}, body=MessageIn, query=[WITH_CONTENT], errors=[409])
    def post(self, request: Request, app_id: str) -> Response:
        with_content = parameters.flag(request, "with_content", default=True)
        route = routing.find(self.organization_id, app_id)
        message = accept(route, draft(request.data, digest(self, "app", route.application_id, "msg")))
        return Response(accepted_out(message, with_content=with_content), 202)


class OneMessage(View):
    @operation("v1.message.get", {200: MessageOut}, query=[WITH_CONTENT])
    def get(self, request: Request, app_id: str, msg_id: str) -> Response:
        with_content = parameters.flag(request, "with_content", default=True)
        route = routing.find(self.organization_id, app_id)
        return Response(message_out(find(route.application_id, msg_id), with_content=with_content))


class MessageContent(View):
    @operation("v1.message.expunge-content", {204: None})
    def delete(self, _: Request, app_id: str, msg_id: str) -> Response:
        """Delete the payload: it is not shown nor sent any more."""
        route = routing.find(self.organization_id, app_id)
        expunge.message_content(find(route.application_id, msg_id))
        return Response(status=204)
