"""Who sees what: owner, member, viewer, stranger, signed out, on every page."""

from collections.abc import Callable

import pytest
from webtest import TestApp

from apps.accounts.models import ApiKey, User
from apps.applications.models import Application, Endpoint
from apps.core import ids
from apps.deliveries.models import Message
from tests.draining_backend import DrainingBackend

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore")]

type Person = Callable[[str], User | None]
type Visit = Callable[[User | None], TestApp]

PAGES = [
    "/organizations/{organization}",
    "/organizations/{organization}/first-message",
    "/applications/{application}/messages",
    "/applications/{application}/first-message",
    "/applications/{application}/messages/{message}",
]
FORMS = [
    "/organizations/{organization}/first-message",
    "/applications/{application}/first-message",
    "/applications/{application}/messages/{message}/endpoints/{endpoint}/resend",
]


@pytest.fixture
def path_to(
    application: Application, add_endpoint: Callable[..., Endpoint], send: Callable[..., Message]
) -> Callable[[str], str]:
    """Fills a pattern with the ids of things that exist."""
    endpoint = add_endpoint("https://example.com/hook")
    names = {
        "organization": application.organization_id,
        "application": application.pk,
        "endpoint": endpoint.pk,
        "message": send().message_id,
    }
    return lambda pattern: pattern.format(**names)


def post(browser: TestApp, path: str, status: int) -> None:
    """As a form does, with a valid CSRF token, also where no page would offer the form."""
    token = browser.get("/no-such-page", status=404).html.find("input", attrs={"name": "csrfmiddlewaretoken"})
    if token is None:
        token = browser.get("/sign-in").html.find("input", attrs={"name": "csrfmiddlewaretoken"})
    browser.post(path, {"csrfmiddlewaretoken": token["value"]}, status=status)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("who", ["owner", "member", "viewer"])
def test_everybody_of_the_organization_sees_the_page(
    who: str, page: str, person: Person, visit: Visit, path_to: Callable[[str], str]
) -> None:
    answer = visit(person(who)).get(path_to(page), status=200)
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("who", ["stranger", "unassigned"])
def test_to_a_stranger_the_page_does_not_exist(
    who: str, page: str, person: Person, visit: Visit, path_to: Callable[[str], str]
) -> None:
    browser = visit(person(who))
    theirs = browser.get(path_to(page), status=404)
    nobodys = page.format(**{name: ids.new(prefix) for name, prefix in PREFIXES.items()})
    nothing = browser.get(nobodys, status=404)
    assert theirs.html.main == nothing.html.main, "what exists and what does not look alike"


PREFIXES = {"organization": "org", "application": "app", "message": "msg", "endpoint": "ep"}


@pytest.mark.parametrize("page", PAGES)
def test_somebody_signed_out_is_sent_to_sign_in_and_back(
    page: str, visit: Visit, path_to: Callable[[str], str]
) -> None:
    answer = visit(None).get(path_to(page), status=302)
    assert answer.location == f"/sign-in?next={path_to(page)}"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("who", "done"),
    [
        ("owner", True),
        ("member", True),
        ("viewer", False),
        ("stranger", False),
        ("unassigned", False),
        ("signed out", False),
    ],
)
def test_only_owners_and_members_make_keys_and_resend(
    form: str,
    who: str,
    done: bool,
    person: Person,
    visit: Visit,
    path_to: Callable[[str], str],
    tasks: DrainingBackend,
) -> None:
    path = path_to(form)
    refused = {"viewer": 403, "signed out": 302}.get(who, 404)
    before = len(tasks.queued)
    post(visit(person(who)), path, (302 if form.endswith("resend") else 200) if done else refused)
    made = len(tasks.queued) - before if form.endswith("resend") else ApiKey.objects.count()
    assert made == int(done)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_without_its_token_is_refused(
    form: str, browser: TestApp, path_to: Callable[[str], str]
) -> None:
    answer = browser.post(path_to(form), status=403)
    assert "The form has expired" in answer.text
    assert not ApiKey.objects.exists()


def test_one_application_does_not_show_the_message_of_another(
    browser: TestApp, application: Application, send: Callable[..., Message]
) -> None:
    other = Application.objects.create(organization=application.organization, name="Other")
    message = send()
    browser.get(f"/applications/{application.pk}/messages/{message.message_id}", status=200)
    browser.get(f"/applications/{other.pk}/messages/{message.message_id}", status=404)


def test_what_is_no_id_reaches_no_page(browser: TestApp) -> None:
    for path in [
        "/organizations/org_%00",
        "/applications/nonsense/messages",
        "/applications/app_1~2/messages",
    ]:
        browser.get(path, status=404)
