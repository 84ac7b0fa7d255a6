"""Applications."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

from django.db import IntegrityError, transaction
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import pagination, parameters
from apps.api.exceptions import Conflict, Invalid
from apps.api.fields import MAX_RATE, Input, Integer, Metadata, Name, Patch, Text, assign
from apps.api.idempotency import digest, once
from apps.api.operations import PAGE, boolean, operation, order
from apps.api.pagination import ListResponse
from apps.api.views import View
from apps.applications.models import Application
from apps.core.snapshots import change


class ApplicationIn(Input):
    name = Text(max_length=256)
    uid = Name(id_prefix=Application.ID_PREFIX, required=False, allow_null=True)
    throttle_rate = Integer(min_value=1, max_value=MAX_RATE, required=False, allow_null=True)
    metadata = Metadata(required=False, allow_null=True)


class ApplicationPatch(Patch, ApplicationIn):
    metadata = Metadata()


class ApplicationOut(TypedDict):
    id: str
    uid: str | None
    name: str
    throttleRate: int | None
    rateLimit: int | None
    metadata: dict[str, str]
    createdAt: datetime
    updatedAt: datetime


def application_out(application: Application) -> ApplicationOut:
    return {
        "id": application.pk,
        "uid": application.uid,
        "name": application.name,
        "throttleRate": application.throttle_rate,
        "rateLimit": application.throttle_rate,
        "metadata": application.metadata,
        "createdAt": application.created_at,
        "updatedAt": application.updated_at,
    }


def find(organization_id: str, id_or_uid: str) -> Application:
    """Raises Application.DoesNotExist, another organization's included."""
    column = "pk" if id_or_uid.startswith(Application.ID_PREFIX) else "uid"
    return Application.objects.get(organization_id=organization_id, **{column: id_or_uid})


def find_or_create(organization_id: str, id_or_uid: str, inline: dict[str, Any] | None) -> Application:
    """The application, made of `inline` (an ApplicationIn) where it is missing.

    Raises Application.DoesNotExist, and Invalid where `inline` would make another one than is asked for.
    """
    try:
        return find(organization_id, id_or_uid)
    except Application.DoesNotExist:
        if inline is None:
            raise
    if inline.get("uid") != id_or_uid:
        raise Invalid(["body", "application", "uid"], "Must be the application's uid in the path.")
    fields = {name: value for name, value in inline.items() if value is not None}
    return Application.objects.get_or_create(organization_id=organization_id, uid=id_or_uid, defaults=fields)[
        0
    ]


class Applications(View):
    @operation(
        "v1.application.list",
        {200: ListResponse[ApplicationOut]},
        query=[*PAGE, order(descending=False)],
    )
    def get(self, request: Request) -> Response:
        parameters.refuse(
            request,
            [
                "exclude_apps_with_no_endpoints",
                "exclude_apps_with_disabled_endpoints",
                "exclude_apps_with_svix_play_endpoints",
            ],
        )
        page = pagination.sql_page(
            Application.objects.filter(organization_id=self.organization_id),
            "id",
            parameters.cursor(request),
            descending=parameters.descending(request, default=False),
        )
        return pagination.answer(page, application_out)

    @operation(
        "v1.application.create",
        {201: ApplicationOut, 200: ApplicationOut},
        body=ApplicationIn,
        query=[boolean("get_if_exists", "Answer 200 with the application that has this uid.", default=False)],
        errors=[409],
    )
    def post(self, request: Request) -> Response:
        fields = ApplicationIn.read(request.data)
        get_if_exists = parameters.flag(request, "get_if_exists", default=False)
        return once(digest(self, "app"), lambda: self._create(fields, get_if_exists=get_if_exists))

    def _create(self, fields: dict[str, Any], *, get_if_exists: bool) -> Response:
        rows, created = Application.objects.filter(organization_id=self.organization_id), True
        if get_if_exists and "uid" in fields:
            application, created = rows.get_or_create(
                uid=fields["uid"], defaults={**fields, "organization_id": self.organization_id}
            )
        else:
            application = Application(organization_id=self.organization_id, **fields)
            _save(application)
        return Response(application_out(application), 201 if created else 200)


class OneApplication(View):
    @operation("v1.application.get", {200: ApplicationOut})
    def get(self, _: Request, app_id: str) -> Response:
        return Response(application_out(find(self.organization_id, app_id)))

    @operation(
        "v1.application.update",
        {200: ApplicationOut, 201: ApplicationOut},
        body=ApplicationIn,
        errors=[409],
    )
    def put(self, request: Request, app_id: str) -> Response:
        """Create or replace. An id is ours to give, so one that is unknown is 404."""
        fields = ApplicationIn.read_all(request.data, Application)
        is_uid = not app_id.startswith(Application.ID_PREFIX)
        if is_uid and fields["uid"] is None:
            fields["uid"] = app_id
        try:
            application = find(self.organization_id, app_id)
        except Application.DoesNotExist:
            if not is_uid:
                raise
            application = Application(organization_id=self.organization_id, **fields)
            _save(application)
            return Response(application_out(application), 201)
        return self._change(application, fields)

    @operation("patch_application", {200: ApplicationOut}, body=ApplicationPatch, errors=[409])
    def patch(self, request: Request, app_id: str) -> Response:
        fields = ApplicationPatch.read(request.data)
        return self._change(find(self.organization_id, app_id), fields)

    def _change(self, application: Application, fields: dict[str, Any]) -> Response:
        with change(application):
            application.refresh_from_db()
            assign(application, fields)
            _save(application, [*fields, "updated_at"])
        return Response(application_out(application))

    @operation("v1.application.delete", {204: None})
    def delete(self, _: Request, app_id: str) -> Response:
        application = find(self.organization_id, app_id)
        with change(application):
            application.delete()
        return Response(status=204)


def _save(application: Application, columns: Sequence[str] | None = None) -> None:
    """Write all columns, or these. Raises Conflict."""
    try:
        with transaction.atomic():
            application.save(update_fields=columns)
    except IntegrityError:
        raise Conflict("An application with this uid exists already.") from None
