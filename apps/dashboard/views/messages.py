"""The newest messages of an application, and one message with what became of it."""

import logging

from django.contrib import messages as notices
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.tasks.exceptions import TaskException
from django.views.decorators.http import require_http_methods, require_safe

from apps.applications import routing
from apps.core import datastore, ids
from apps.core.cursors import Cursor, Page
from apps.dashboard import payload_text, summaries, timelines
from apps.dashboard.access import (
    SignedInRequest,
    application_or_404,
    may_change,
    require_change,
    signed_in,
)
from apps.dashboard.views import first_message
from apps.deliveries import lists, payloads, replay
from apps.deliveries.lists import Window
from apps.deliveries.models import Message

log = logging.getLogger(__name__)

PAGE = 25
ATTEMPTS = 50


@signed_in
@require_safe
def messages(request: SignedInRequest, application_id: str) -> HttpResponse:
    """An application's messages, newest first; how to send the first one while there is none."""
    application, membership = application_or_404(request, application_id)
    cursor = _cursor(request, "msg", PAGE)
    page = lists.messages(application.pk, cursor, Window())
    if not page.items and not cursor.last_id:
        return first_message.page(request, membership, application)
    endpoint_ids = [one.id for one in routing.of(application.pk).destinations]
    context = {
        "application": application,
        "organization": membership.organization,
        "rows": summaries.rows(page.items, endpoint_ids),
        "newer": page.items[0].message_id if page.items and _has_newer(page, cursor) else None,
        "older": page.items[-1].message_id if page.items and _has_older(page, cursor) else None,
    }
    return render(request, "dashboard/messages.html", context)


@signed_in
@require_safe
def message(request: SignedInRequest, application_id: str, message_id: str) -> HttpResponse:
    """One message: its payload, and a timeline of attempts for each endpoint."""
    application, membership = application_or_404(request, application_id)
    shown = _message_or_404(application.pk, message_id)
    cursor = _cursor(request, "atmpt", ATTEMPTS)
    attempts = lists.attempts_of_message(application.pk, message_id, cursor, Window())
    destinations = routing.of(application.pk).destinations
    context = {
        "application": application,
        "organization": membership.organization,
        "message": shown,
        "payload": payload_text.readable(shown),
        "timelines": timelines.of(shown, destinations, attempts.items),
        "older": None if attempts.done else attempts.items[-1].attempt_id,
        "first": not cursor.last_id,
        "may_resend": may_change(membership) and not shown.expunged,
    }
    return render(request, "dashboard/message.html", context)


@signed_in
@require_http_methods(["GET", "POST"])
def resend(request: SignedInRequest, application_id: str, message_id: str, endpoint_id: str) -> HttpResponse:
    """Queue a manual attempt and go back to the message. A GET, as after signing in again, only goes back."""
    application, membership = application_or_404(request, application_id)
    back = redirect("message", application.pk, message_id)
    if request.method == "GET":
        return back
    require_change(membership)
    shown = _message_or_404(application.pk, message_id)
    route = routing.of(application.pk)
    if route.destination(endpoint_id) is None:
        raise Http404
    try:
        replay.resend(route, shown, endpoint_id)
    except payloads.Expunged:
        notices.error(request, "Not queued: the payload was deleted, so there is nothing to send.")
    except TaskException:
        log.exception("A resend could not be queued")
        notices.error(request, "Not queued: the task queue did not answer. Try again in a moment.")
    else:
        notices.success(request, "Queued. Reload the page to see the attempt once it was made.")
    return back


def _message_or_404(application_id: str, message_id: str) -> Message:
    found: Message | None
    (found,) = datastore.lookup([Message.key_of(application_id, message_id)])
    if found is None:
        raise Http404
    return found


def _cursor(request: SignedInRequest, prefix: str, limit: int) -> Cursor:
    """The page that the address asks for; the first one for what is no cursor."""
    cursor = Cursor.parse(request.GET.get("cursor"), limit)
    return cursor if cursor.last_id and ids.is_id(prefix, cursor.last_id) else Cursor(limit)


def _has_newer(page: Page[Message], cursor: Cursor) -> bool:
    return not page.done if cursor.backwards else cursor.last_id is not None


def _has_older(page: Page[Message], cursor: Cursor) -> bool:
    return cursor.backwards or not page.done
