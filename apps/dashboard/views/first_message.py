"""How to send the first message, with the real address and a real key filled in."""

from pathlib import Path

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.accounts import credentials
from apps.accounts.models import ApiKey, Membership, Organization
from apps.applications.models import Application
from apps.dashboard.access import (
    SignedInRequest,
    application_or_404,
    may_change,
    membership_or_404,
    require_change,
    signed_in,
)

EXAMPLE_UID = "first-customer"
BODIES = {
    "application": f'{{"name": "First customer", "uid": "{EXAMPLE_UID}"}}',
    "endpoint": '{"url": "https://example.com/webhooks"}',
    "message": '{"eventType": "invoice.paid", "payload": {"amount": 4200}}',
}


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def of_organization(request: SignedInRequest, organization_id: str) -> HttpResponse:
    """For an organization without applications."""
    return page(request, membership_or_404(request, organization_id))


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def of_application(request: SignedInRequest, application_id: str) -> HttpResponse:
    """For an application without messages."""
    application, membership = application_or_404(request, application_id)
    return page(request, membership, application)


def page(
    request: SignedInRequest, membership: Membership, application: Application | None = None
) -> HttpResponse:
    """The page. A POST makes an API key, and this one answer shows it: it is kept nowhere."""
    key = ""
    if request.method == "POST":
        require_change(membership)
        _, key = ApiKey.issue(membership.organization, "first message")
    elif may_change(membership):
        key = key_of_first_start(membership.organization)
    context = {
        "organization": membership.organization,
        "application": application,
        "may_make_key": may_change(membership),
        "is_new_key": request.method == "POST",
        "key": key,
        "key_path": _path(membership, application),
        "application_path": f"/{application.pk if application else EXAMPLE_UID}",
        "bodies": BODIES,
        "server": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "dashboard/first_message.html", context)


def _path(membership: Membership, application: Application | None) -> str:
    """This page's own address: it is also shown in place of an empty list."""
    if application:
        return reverse("application-first-message", args=[application.pk])
    return reverse("organization-first-message", args=[membership.organization_id])


def key_of_first_start(organization: Organization) -> str:
    """On a developer's machine: the key that the first start left there, if it acts for this organization."""
    home: Path | None = getattr(settings, "LOCAL_HOME", None)
    if not settings.DEBUG or home is None:
        return ""
    try:
        key = (home / "api-key").read_text().strip()
    except OSError:
        return ""
    credential = credentials.authenticate(key)
    return key if credential and credential.organization_id == organization.pk else ""
