from collections.abc import Callable

import pytest
from webtest import TestApp, TestResponse

from apps.accounts.models import Organization, User
from main import app

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore")]

PASSWORD = "correct horse battery"

type MemberOf = Callable[..., User]


@pytest.fixture
def user(organization: Organization, member_of: MemberOf) -> User:
    return member_of(organization)


@pytest.fixture
def browser() -> TestApp:
    return TestApp(app)


def submit(page: TestResponse, email: str, password: str) -> TestResponse:
    form = page.forms[0]
    form["username"], form["password"] = email, password
    return form.submit()


def test_somebody_who_signs_in_lands_where_they_were_going(browser: TestApp, user: User) -> None:
    page = browser.get("/sign-in?next=/some/page")
    assert submit(page, user.email, PASSWORD).location == "/some/page"


def test_a_wrong_password_says_so_keeps_the_address_and_moves_the_focus_to_the_password(
    browser: TestApp, user: User
) -> None:
    page = submit(browser.get("/sign-in"), user.email, "wrong")
    assert page.status_int == 200
    assert "do not match an account" in page.html.find(role="alert").text
    assert page.forms[0]["username"].value == user.email
    assert page.forms[0]["password"].value == ""
    (focused,) = page.html.find_all(autofocus=True)
    assert focused["name"] == "password"
    assert focused["aria-describedby"] == page.html.find(role="alert")["id"]


def test_an_unknown_address_gets_the_answer_of_a_wrong_password(browser: TestApp, user: User) -> None:
    known = submit(browser.get("/sign-in"), user.email, "wrong").html.find(role="alert").text
    unknown = submit(browser.get("/sign-in"), "nobody@example.com", "wrong").html.find(role="alert").text
    assert known == unknown


def test_sign_in_never_leads_to_another_site(browser: TestApp, user: User) -> None:
    page = browser.get("/sign-in?next=https://elsewhere.example/")
    assert submit(page, user.email, PASSWORD).location == "/"


def test_every_field_has_a_label_and_tells_password_managers_what_it_is(browser: TestApp) -> None:
    html = browser.get("/sign-in").html
    fields = {field["name"]: field for field in html.find_all("input", type=["email", "password"])}
    assert {name: field["autocomplete"] for name, field in fields.items()} == {
        "username": "username",
        "password": "current-password",
    }
    assert {label["for"] for label in html.find_all("label")} == {field["id"] for field in fields.values()}


def test_signing_out_takes_a_post_and_ends_the_session(browser: TestApp, user: User) -> None:
    submit(browser.get("/sign-in"), user.email, PASSWORD)
    browser.get("/sign-out", status=405)
    assert browser.get("/sign-in", status=302).location == "/", "signed in already"
    page = browser.get("/no/such/page", status=404)  # every page has the button, and every site this one
    assert page.forms[0].submit().location == "/sign-in"
    browser.get("/sign-in", status=200)
