"""Where people land: their organizations and the applications in them."""

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from apps.accounts.models import Organization
from apps.applications.models import Application
from apps.core import ids
from apps.core.cursors import Cursor, Page
from apps.dashboard.access import SignedInRequest, membership_or_404, signed_in
from apps.dashboard.views import first_message

PAGE = 50


@signed_in
@require_safe
def home(request: SignedInRequest) -> HttpResponse:
    """The start: straight to the only application there is, or to where one is chosen."""
    organizations = list(request.user.organizations.order_by("name", "pk"))
    if len(organizations) != 1:
        return render(request, "dashboard/organizations.html", {"organizations": organizations})
    applications = list(organizations[0].applications.all()[:2])
    if len(applications) == 1:
        return redirect("messages", applications[0].pk)
    return redirect("applications", organizations[0].pk)


@signed_in
@require_safe
def applications(request: SignedInRequest, organization_id: str) -> HttpResponse:
    """An organization's applications, newest first."""
    membership = membership_or_404(request, organization_id)
    last_id = request.GET.get("cursor", "")
    cursor = Cursor(PAGE, last_id if ids.is_id("app", last_id) else None)
    page = newest(membership.organization, cursor)
    if not page.items and not cursor.last_id:
        return first_message.page(request, membership)
    context = {
        "organization": membership.organization,
        "applications": page.items,
        "older": None if page.done else page.items[-1].pk,
        "first": not cursor.last_id,
    }
    return render(request, "dashboard/applications.html", context)


def newest(organization: Organization, cursor: Cursor) -> Page[Application]:
    """Those made before the cursor's. By time: a database's collation may not sort ids by their bytes."""
    rows = organization.applications.order_by("-created_at", "-pk")
    if cursor.last_id and (last := organization.applications.filter(pk=cursor.last_id).first()):
        same_moment = Q(created_at=last.created_at, pk__lt=last.pk)
        rows = rows.filter(Q(created_at__lt=last.created_at) | same_moment)
    return Page.of(list(rows[: cursor.limit + 1]), cursor)
