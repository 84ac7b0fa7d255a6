"""Who may see and do what. Every page asks here; what is not theirs is not found."""

from collections.abc import Callable

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import cache_control

from apps.accounts.models import Membership, User
from apps.applications.models import Application

CHANGERS = {Membership.Role.OWNER, Membership.Role.MEMBER}


class SignedInRequest(HttpRequest):
    """What a view behind `signed_in` is given."""

    user: User


def signed_in[View: Callable[..., HttpResponseBase]](view: View) -> View:
    """For signed-in people only. Pages show tenants' data, so no cache keeps them, the browser's included."""
    return cache_control(private=True, no_store=True)(login_required(view))


def membership_or_404(request: SignedInRequest, organization_id: str) -> Membership:
    """The user's place in an organization. Raises Http404 for any other, existing or not."""
    memberships = Membership.objects.select_related("organization")
    return get_object_or_404(memberships, user=request.user, organization_id=organization_id)


def application_or_404(request: SignedInRequest, application_id: str) -> tuple[Application, Membership]:
    """An application, and the user's place in its organization. Raises Http404, as for none at all."""
    application = get_object_or_404(Application, pk=application_id)
    return application, membership_or_404(request, application.organization_id)


def may_change(membership: Membership) -> bool:
    """Whether the role allows more than looking."""
    return membership.role in CHANGERS


def require_change(membership: Membership) -> None:
    """Raises PermissionDenied, the 403 page, for those who may only look."""
    if not may_change(membership):
        raise PermissionDenied
