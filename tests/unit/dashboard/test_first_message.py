"""The page that stands where nothing is yet. What it says is carried out as it stands there."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from webtest import TestApp, TestResponse

from apps.accounts import credentials
from apps.accounts.first_start import first_start
from apps.accounts.models import ApiKey, Organization, User
from apps.applications.models import Application, Endpoint
from apps.deliveries.models import Message
from main import app

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore")]

type Visit = Callable[[User | None], TestApp]
type Person = Callable[[str], User | None]


def commands(page: TestResponse) -> list[str]:
    return [one.text for one in page.html.select("pre") if one.text.startswith("curl")]


def carry_out(command: str) -> TestResponse:
    """What curl would send."""
    program, url, *rest = shlex.split(command.replace("\\\n", ""))
    options = list(zip(rest[::2], rest[1::2], strict=True))
    assert (program, {name for name, _ in options}) == ("curl", {"-H", "-d"})
    headers = dict(value.split(": ", 1) for name, value in options if name == "-H")
    (body,) = [value for name, value in options if name == "-d"]
    return TestApp(app).post(url, body.encode(), headers=headers)


def make_key(page: TestResponse) -> TestResponse:
    (form,) = [one for one in page.forms.values() if one.action.endswith("/first-message")]
    return form.submit()


def test_an_organization_without_applications_is_told_how_to_begin(
    browser: TestApp, organization: Organization
) -> None:
    page = browser.get("/").follow()
    assert page.request.path == f"/organizations/{organization.pk}"
    assert len(page.html.select(".steps > li")) == 3
    assert "YOUR_API_KEY" in page.text
    assert "sk_" not in page.text


def test_the_commands_with_the_new_key_make_application_endpoint_and_message(
    browser: TestApp, organization: Organization
) -> None:
    page = make_key(browser.get(f"/organizations/{organization.pk}"))
    answers = [carry_out(command) for command in commands(page)]
    assert [one.status_int for one in answers] == [201, 201, 202]
    application = Application.objects.get()
    assert application.organization == organization
    assert browser.get("/").location == f"/applications/{application.pk}/messages"
    assert answers[2].json["id"] in browser.get("/").follow().text


def test_an_application_without_messages_has_commands_of_its_own(
    browser: TestApp, application: Application
) -> None:
    page = make_key(browser.get(f"/applications/{application.pk}/messages"))
    assert [carry_out(command).status_int for command in commands(page)] == [201, 202]
    assert Endpoint.objects.get().application == application


def test_the_python_program_is_complete(browser: TestApp, application: Application) -> None:
    for path in [f"/organizations/{application.organization_id}", f"/applications/{application.pk}"]:
        page = make_key(browser.get(f"{path}/first-message"))
        program = next(one.text for one in page.html.select("pre") if one.text.startswith("from svix"))
        imports, _, calls = program.partition("\n\n")
        names: dict[str, object] = {}
        exec(compile(imports, "page", "exec"), names)
        compile(calls, "page", "exec")
        assert {name for name in names if not name.startswith("_")} >= {"Svix", "MessageIn", "EndpointIn"}
        assert 'server_url="http://localhost:80"' in calls


def test_a_new_key_is_shown_once_and_kept_nowhere(browser: TestApp, application: Application) -> None:
    page = make_key(browser.get(f"/applications/{application.pk}/messages"))
    key = page.html.find("pre", attrs={"aria-label": "API key"}).text
    credential = credentials.authenticate(key)
    assert credential
    assert credential.organization_id == application.organization_id
    assert "no-store" in page.headers["Cache-Control"]
    assert key not in page.request.url
    assert key not in browser.get(f"/applications/{application.pk}/first-message").text
    assert all(key not in json.dumps(one.get_decoded()) for one in Session.objects.all())
    assert key not in str(browser.cookies)


def test_a_viewer_is_offered_no_key(visit: Visit, person: Person, application: Application) -> None:
    page = visit(person("viewer")).get(f"/applications/{application.pk}/messages")
    assert page.html.select("main form") == []
    assert "As a viewer you can not make one" in page.text


def test_the_page_stays_within_reach_once_there_are_messages(
    browser: TestApp, application: Application, send: Callable[..., Message]
) -> None:
    send()
    page = browser.get(f"/applications/{application.pk}/messages").click("How to send a message")
    assert page.request.path == f"/applications/{application.pk}/first-message"


@pytest.fixture
def laptop(tmp_path: Path, settings: object) -> str:
    """The key that a first start left on a developer's machine."""
    settings.DEBUG, settings.LOCAL_HOME = True, tmp_path
    return first_start(tmp_path)["API key"]


def of_first_start() -> tuple[User, str]:
    organization = Organization.objects.get(name="Example")
    return User.objects.get(email="dev@example.com"), f"/organizations/{organization.pk}"


@pytest.fixture
def developer(laptop: str, visit: Visit) -> TestApp:
    """The browser of the one whom the first start made."""
    user, _ = of_first_start()
    user.set_password("correct horse battery")
    user.save()
    return visit(user)


def test_on_a_laptop_the_key_of_the_first_start_is_filled_in(developer: TestApp, laptop: str) -> None:
    page = developer.get(of_first_start()[1])
    assert f"Authorization: Bearer {laptop}" in commands(page)[0]
    assert ApiKey.objects.count() == 1


def test_nowhere_else_is_it_shown(developer: TestApp, laptop: str, settings: object) -> None:
    settings.DEBUG = False
    assert laptop not in developer.get(of_first_start()[1]).text


def test_it_is_not_shown_to_a_viewer_or_another_organization(
    laptop: str, visit: Visit, member_of: Callable[..., User], organization: Organization
) -> None:
    example = Organization.objects.get(name="Example")
    viewer = visit(member_of(example, "viewer"))
    assert laptop not in viewer.get(f"/organizations/{example.pk}").text
    other = visit(member_of(organization, "owner"))
    assert laptop not in other.get(f"/organizations/{organization.pk}").text


def test_a_revoked_key_of_the_first_start_is_not_shown(developer: TestApp, laptop: str) -> None:
    ApiKey.objects.get().revoke()
    assert laptop not in developer.get(of_first_start()[1]).text
