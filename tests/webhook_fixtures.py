"""What tests of webhooks share beside tests/conftest.py: an application, its endpoints and its route."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.accounts.models import Organization
from apps.applications.models import Application, Endpoint
from apps.applications.routing import Route, of
from apps.deliveries import transport


@pytest.fixture
def application(organization: Organization) -> Application:
    return Application.objects.create(organization=organization, name="Customer", uid="customer-1")


@pytest.fixture
def add_endpoint(application: Application) -> Callable[..., Endpoint]:
    """Makes endpoints of `application`: add_endpoint(url, event_types=...)."""

    def make(url: str, **fields: object) -> Endpoint:
        return Endpoint.objects.create(application=application, url=url, **fields)

    return make


@pytest.fixture
def route_of(application: Application) -> Callable[[], Route]:
    """The application's route as it is now."""
    return lambda: of(application.pk)


@pytest.fixture
def private_endpoints(settings: Any) -> Iterator[None]:
    """Endpoints on this machine are allowed, as in the local runtime."""
    settings.WAYBILL_ALLOW_PRIVATE_ENDPOINTS = True
    yield
    transport.close()
