"""The OpenAPI document of the API, and pages to try it. Neither asks who is there."""

from functools import cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_safe

FILE = Path(__file__).with_name("openapi.json")


@require_safe
def document(_: HttpRequest) -> HttpResponse:
    return HttpResponse(_written(), content_type="application/json")


@require_safe
# Swagger UI draws its icons from data: URLs. Nothing else is looser than on any page of the site.
@csp_override({**settings.SECURE_CSP, "img-src": [*settings.SECURE_CSP["default-src"], "data:"]})
def pages(request: HttpRequest) -> HttpResponse:
    return render(request, "api/docs.html")


@cache
def _written() -> bytes:
    """What `manage.py openapi` wrote: nothing that makes it is imported in production."""
    return FILE.read_bytes()
