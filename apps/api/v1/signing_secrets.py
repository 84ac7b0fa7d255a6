"""What a receiver verifies messages with, and its rotation."""

from datetime import timedelta
from typing import Any, TypedDict

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.fields import Input, Integer
from apps.api.idempotency import digest, once
from apps.api.operations import operation
from apps.api.v1 import applications, endpoints
from apps.api.v1.endpoints import SigningSecret
from apps.api.views import View
from apps.applications import signing_secrets
from apps.applications.models import Endpoint, new_signing_secret
from apps.core.snapshots import change

LONGEST_GRACE_S = int(signing_secrets.LONGEST_GRACE.total_seconds())


class EndpointSecretRotateIn(Input):
    key = SigningSecret(required=False, allow_null=True)
    grace_period_seconds = Integer(min_value=0, max_value=LONGEST_GRACE_S, required=False, allow_null=True)


class EndpointSecretOut(TypedDict):
    key: str


class EndpointSecret(View):
    @operation("v1.endpoint.get-secret", {200: EndpointSecretOut})
    def get(self, _: Request, app_id: str, endpoint_id: str) -> Response:
        """What the receiver verifies with: the secret, or of an ed25519 key the public one (`whpk_`)."""
        endpoint = endpoints.find(applications.find(self.organization_id, app_id), endpoint_id)
        return _answer(endpoint)


class RotateSecret(View):
    @operation(
        "v1.endpoint.rotate-secret", {200: EndpointSecretOut}, body=EndpointSecretRotateIn, errors=[400]
    )
    def post(self, request: Request, app_id: str, endpoint_id: str) -> Response:
        """Replace the secret. Messages are signed with the one before too, for 24 hours or as asked.

        The answer is the new one, which SDKs 2.x read; SDKs 1.x, and the open server, have no body there.
        """
        endpoint = endpoints.find(applications.find(self.organization_id, app_id), endpoint_id)
        fields = EndpointSecretRotateIn.read(request.data)
        path = ("app", endpoint.application_id, "endpoint", endpoint.pk, "secret", "rotate")
        return once(digest(self, *path), lambda: self._rotate(endpoint, fields), secret=True)

    def _rotate(self, endpoint: Endpoint, fields: dict[str, Any]) -> Response:
        grace = timedelta(seconds=fields.get("grace_period_seconds", signing_secrets.GRACE.total_seconds()))
        with change(endpoint.application):
            endpoint.refresh_from_db()  # under the application's lock: of two rotations both secrets stay
            signing_secrets.rotate(endpoint, fields.get("key") or new_signing_secret(), grace)
            endpoint.save(update_fields=["signing_secret", "old_signing_secrets", "updated_at"])
        return _answer(endpoint)


def _answer(endpoint: Endpoint) -> Response:
    return Response(EndpointSecretOut(key=signing_secrets.for_receiver(endpoint.signing_secret)))
