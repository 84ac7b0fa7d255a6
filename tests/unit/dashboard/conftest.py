"""A browser, and messages that really were sent."""

from collections.abc import Callable
from itertools import count

import pytest
from webtest import TestApp

from apps.accounts.models import Organization, User
from apps.applications.routing import Route
from apps.deliveries.accept import Draft, accept
from apps.deliveries.models import Message
from main import app


@pytest.fixture
def visit(db: None) -> Callable[[User | None], TestApp]:
    """A browser of somebody who signed in through the form, or of nobody: visit(user)."""

    def sign_in(user: User | None) -> TestApp:
        browser = TestApp(app)
        if user:
            form = browser.get("/sign-in").forms[0]
            form["username"], form["password"] = user.email, "correct horse battery"
            form.submit(status=302)
        return browser

    return sign_in


@pytest.fixture
def person(
    organization: Organization, member_of: Callable[[Organization, str], User]
) -> Callable[[str], User | None]:
    """Somebody in relation to `organization`: a role there, "stranger", "unassigned" or "signed out"."""

    def make(who: str) -> User | None:
        if who == "signed out":
            return None
        if who == "unassigned":
            return User.objects.create_user("new@example.com", "correct horse battery")
        if who == "stranger":
            return member_of(Organization.objects.create(name="Elsewhere"), "owner")
        return member_of(organization, who)

    return make


@pytest.fixture
def browser(visit: Callable[[User | None], TestApp], person: Callable[[str], User | None]) -> TestApp:
    """An owner's browser."""
    return visit(person("owner"))


@pytest.fixture
def send(route_of: Callable[[], Route]) -> Callable[..., Message]:
    """Accepts a message: send(payload=b"..."). Its tasks wait to be drained."""
    numbers = count(1)

    def make(payload: bytes | None = None, event_type: str = "invoice.paid", **fields: object) -> Message:
        body = payload if payload is not None else b'{"n":%d}' % next(numbers)
        return accept(route_of(), Draft(event_type=event_type, payload=body, **fields))

    return make
