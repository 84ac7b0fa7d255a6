"""An example of an event type, sent to one endpoint."""

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.exceptions import Invalid, TooLarge
from apps.api.fields import Input, Integer, Name
from apps.api.idempotency import digest
from apps.api.not_implemented import refuse_fields
from apps.api.operations import operation
from apps.api.v1 import applications, endpoints, event_types, messages
from apps.api.v1.messages import MessageOut
from apps.api.views import View
from apps.applications import examples, routing
from apps.deliveries import payloads
from apps.deliveries.accept import Draft, accept


class EventExampleIn(Input):
    event_type = Name()
    example_index = Integer(min_value=0, required=False, allow_null=True)


class SendExample(View):
    @operation("v1.endpoint.send-example", {200: MessageOut}, body=EventExampleIn)
    def post(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        """Send an example message, made of the event type's schema, to this endpoint and to no other.

        It does not matter what the endpoint subscribes to. The message is like any other one: it is
        signed, retried and listed.
        """
        refuse_fields(request.data, ["payload"])
        application = applications.find(self.organization_id, app_id)
        endpoint = endpoints.find(application, endpoint_id)
        fields = EventExampleIn.read(request.data)
        event_type = event_types.visible_to(self.credential).get(name=fields["event_type"])
        try:
            example = examples.of(event_type.schemas, fields.get("example_index", 0))
        except examples.NoExample as error:
            raise Invalid(["body", "eventType"], str(error)) from error
        payload = messages.encode(example)
        if len(payload) > payloads.LARGEST:
            raise TooLarge(f"The example is over {payloads.LARGEST:,} bytes.")
        key = digest(self, "app", application.pk, "endpoint", endpoint.pk, "send-example")
        draft = Draft(event_type=event_type.name, payload=payload, idempotency_digest=key)
        message = accept(routing.of(application.pk).only(endpoint.pk), draft)
        return Response(messages.accepted_out(message, with_content=True))
