"""Where the link of app-portal-access leads. Its token is in the URL's fragment and never arrives here."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def portal(request: HttpRequest) -> HttpResponse:
    """The same for everybody: what a customer can do without pages of their own."""
    response = render(request, "dashboard/portal.html")
    response["Referrer-Policy"] = "no-referrer"
    return response
