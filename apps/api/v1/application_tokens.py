"""Application tokens: a link to the portal for one customer, and the end of all such links."""

import json
from base64 import b64encode
from datetime import timedelta
from typing import Any, TypedDict

from django.urls import reverse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.fields import Boolean, Input, Integer, Names, Text
from apps.api.idempotency import digest, once
from apps.api.operations import operation
from apps.api.v1 import applications
from apps.api.v1.applications import ApplicationIn
from apps.api.views import View
from apps.applications import tokens
from apps.applications.models import Application
from apps.applications.tokens import LONGEST, SHORTEST, Capability

LONGEST_SESSION_ID = 256


def seconds(shortest: timedelta) -> Integer:
    return Integer(
        min_value=int(shortest.total_seconds()),
        max_value=int(LONGEST.total_seconds()),
        required=False,
        allow_null=True,
    )


class PortalAccessIn(Input):
    application = ApplicationIn(required=False, allow_null=True)
    capabilities = serializers.ListField(
        child=serializers.ChoiceField(list(Capability)),
        required=False,
        allow_null=True,
        help_text="All, if left out. ViewBase must be among them.",
    )
    # The metaclass takes fields out of the class, so this hides nothing of Field's.
    read_only = Boolean(required=False, allow_null=True)  # type: ignore[assignment]
    feature_flags = Names(min_length=0, max_length=100, required=False, allow_null=True)
    expiry = seconds(SHORTEST)
    session_id = Text(max_length=LONGEST_SESSION_ID, required=False, allow_null=True, allow_blank=True)

    def validate_capabilities(self, asked: list[Capability] | None) -> list[Capability] | None:
        if asked is not None and Capability.VIEW_BASE not in asked:
            raise serializers.ValidationError("ViewBase is always required.")
        return asked


class ExpireAllIn(Input):
    expiry = seconds(timedelta())
    session_ids = serializers.ListField(
        child=Text(max_length=LONGEST_SESSION_ID), max_length=1000, required=False, allow_null=True
    )


class AppPortalAccessOut(TypedDict):
    url: str
    token: str


class PortalAccess(View):
    @operation("v1.authentication.app-portal-access", {200: AppPortalAccessOut}, body=PortalAccessIn)
    def post(self, request: Request, app_id: str) -> Response:
        fields = PortalAccessIn.read(request.data)
        application = applications.find_or_create(
            self.organization_id, app_id, fields.pop("application", None)
        )
        key = digest(self, "auth", "app-portal-access", application.pk)
        return once(key, lambda: self._issue(application, fields), secret=True)

    def _issue(self, application: Application, fields: dict[str, Any]) -> Response:
        token = tokens.issue(
            application,
            capabilities=capabilities(fields),
            feature_flags=fields.get("feature_flags", []),
            session_id=fields.get("session_id", ""),
            lasts=timedelta(seconds=fields["expiry"]) if "expiry" in fields else LONGEST,
        )
        return Response(AppPortalAccessOut(url=self._link(application, token), token=token))

    def _link(self, application: Application, token: str) -> str:
        """The token is in the fragment, which browsers keep to themselves: no log or Referer has it."""
        key = b64encode(json.dumps({"appId": application.pk, "token": token}).encode()).decode()
        return f"{self.request.build_absolute_uri(reverse('portal'))}#key={key}"


def capabilities(fields: dict[str, Any]) -> set[Capability]:
    """All unless some are named; read-only is to look, secrets excepted."""
    if fields.get("read_only"):
        return {Capability.VIEW_BASE}
    return {Capability(name) for name in fields.get("capabilities", Capability)}


class ExpireAllTokens(View):
    @operation("v1.authentication.expire-all", {204: None}, body=ExpireAllIn)
    def post(self, request: Request, app_id: str) -> Response:
        fields = ExpireAllIn.read(request.data)
        application = applications.find(self.organization_id, app_id)
        key = digest(self, "auth", "app", application.pk, "expire-all")
        return once(key, lambda: self._expire(application, fields))

    def _expire(self, application: Application, fields: dict[str, Any]) -> Response:
        after = timedelta(seconds=fields.get("expiry", 0))
        tokens.expire(application, after=after, session_ids=fields.get("session_ids", []))
        return Response(status=204)
