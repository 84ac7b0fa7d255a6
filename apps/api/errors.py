"""Every error under /api/ is JSON: `{code, detail}`, or a list of what is invalid for 422.

The official SDKs parse the body of every answer and crash on HTML.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.tasks.exceptions import TaskException
from google.api_core.exceptions import GoogleAPIError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from apps.api.exceptions import HttpErrorOut, HTTPValidationError, Invalid, ValidationErrorItem
from apps.applications.signing_secrets import MOST_OLD, TooManyOld
from apps.core import snapshots
from apps.deliveries.accept import DuplicateEventId
from apps.deliveries.payloads import Expunged

log = logging.getLogger(__name__)

SQL_AWAY = "The database does not answer. Try again."
# What to answer for errors that other layers raise: none of them knows HTTP.
TRANSLATED: dict[type[Exception], tuple[int, str, str]] = {
    PermissionDenied: (403, "permission_denied", "This credential may not do that."),
    Http404: (404, "not_found", "Entity not found."),
    ObjectDoesNotExist: (404, "not_found", "Entity not found."),
    TooManyOld: (
        400,
        "limit_reached",
        f"At most {MOST_OLD} old secrets may be valid at once.",
    ),
    DuplicateEventId: (409, "conflict", "A message with this eventId exists already."),
    Expunged: (409, "conflict", "The content of this message was deleted: it can not be sent any more."),
    snapshots.Unavailable: (503, "unavailable", "Redis does not answer; nothing was changed. Try again."),
    TaskException: (503, "unavailable", "The queue does not answer; nothing was queued. Try again."),
    OperationalError: (503, "unavailable", SQL_AWAY),
    InterfaceError: (503, "unavailable", SQL_AWAY),
    GoogleAPIError: (503, "unavailable", "The Datastore does not answer. Try again."),
}
# Errors that Django or a middleware answered before or after the view, by status.
OUTSIDE_VIEWS = {
    400: ("bad_request", "The request can not be understood."),
    403: ("permission_denied", "This request is not allowed."),
    404: ("not_found", "There is nothing at this URL."),
}
PREFIXES = ("/api/", "/ingest/")


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """REST_FRAMEWORK["EXCEPTION_HANDLER"]: the answer to whatever a view raised."""
    set_rollback()
    if isinstance(error, Invalid):
        return _invalid([error.item])
    if isinstance(error, exceptions.ValidationError):
        return _invalid(list(_items(error.get_full_details(), ["body"])))
    if isinstance(error, DataError):
        item = Invalid(["body"], "A value does not fit its field, or holds a NUL character.").item
        return _invalid([item])
    if isinstance(error, exceptions.APIException):
        return _known(error)
    for kind, (status, code, detail) in TRANSLATED.items():
        if isinstance(error, kind):
            if status >= 500:
                log.error("%s: %s", detail, error, exc_info=error)
            return _logged(Response(HttpErrorOut(code=code, detail=detail), status))
    log.error("Unexpected error", exc_info=error)
    return _logged(Response(unexpected(context["request"]), 500))


def unexpected(request: Any) -> HttpErrorOut:
    """The body of a 500: a trace id, by which the log tells the rest, and nothing else."""
    trace = getattr(request, "trace", None)
    found_by = f" Trace id: {trace.trace_id}." if trace else ""
    return {"code": "server_error", "detail": f"An unexpected error.{found_by}"}


def json_errors(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: JSON for errors that no API view answered, such as an unknown URL or a bad Host header."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code < 400 or not request.path_info.startswith(PREFIXES):
            return response
        if response.headers.get("Content-Type") == "application/json":
            return response
        code, detail = OUTSIDE_VIEWS.get(response.status_code, ("error", response.reason_phrase))
        unknown = response.status_code >= 500
        body = unexpected(request) if unknown else HttpErrorOut(code=code, detail=detail)
        return _logged(JsonResponse(body, status=response.status_code))

    return middleware


def _known(error: exceptions.APIException) -> Response:
    headers = {"WWW-Authenticate": error.auth_header} if hasattr(error, "auth_header") else {}
    code = getattr(error.detail, "code", None) or error.default_code
    body = HttpErrorOut(code=code, detail=str(error.detail))
    return Response(body, error.status_code, headers=headers)


def _invalid(items: list[ValidationErrorItem]) -> Response:
    return Response(HTTPValidationError(detail=items), 422)


def _items(details: Any, loc: list[str]) -> Iterator[ValidationErrorItem]:
    """DRF's nested errors, each with the way to it."""
    if isinstance(details, list):
        for detail in details:
            yield from _items(detail, loc)
    elif isinstance(details.get("message"), str) and isinstance(details.get("code"), str):
        kind = "value_error.missing" if details["code"] == "required" else "value_error"
        yield {"loc": loc, "msg": str(details["message"]), "type": kind}
    else:
        for name, inner in details.items():
            yield from _items(inner, loc if name == "non_field_errors" else [*loc, str(name)])


def _logged[R: HttpResponse](response: R) -> R:
    """Django would log the same once more."""
    response._has_been_logged = True  # type: ignore[attr-defined]  # the mark django.utils.log looks for
    return response
