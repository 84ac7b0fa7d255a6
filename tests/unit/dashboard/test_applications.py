from collections.abc import Callable
from datetime import timedelta

import pytest
from webtest import TestApp

from apps.accounts.models import Membership, Organization, User
from apps.applications.models import Application
from apps.dashboard.views import applications

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore")]


def names(html: object) -> list[str]:
    return [link.text for link in html.select("tbody th a")]


def test_the_start_leads_straight_to_the_only_application(browser: TestApp, application: Application) -> None:
    assert browser.get("/").location == f"/applications/{application.pk}/messages"


def test_the_start_leads_to_the_list_where_there_are_several(
    browser: TestApp, application: Application
) -> None:
    Application.objects.create(organization=application.organization, name="Second")
    page = browser.get("/").follow()
    assert page.request.path == f"/organizations/{application.organization_id}"
    assert names(page.html) == ["Second", "Customer"], "newest first"


def test_somebody_in_no_organization_is_told_so(
    visit: Callable[[User | None], TestApp], person: Callable[[str], User | None]
) -> None:
    page = visit(person("unassigned")).get("/", status=200)
    assert "You are not in an organization yet" in page.text
    assert "new@example.com" in page.text


def test_somebody_in_two_organizations_chooses_and_sees_no_third(
    visit: Callable[[User | None], TestApp],
    person: Callable[[str], User | None],
    organization: Organization,
) -> None:
    user = person("viewer")
    second = Organization.objects.create(name="Beta")
    Organization.objects.create(name="Not theirs")
    Membership.objects.create(user=user, organization=second)
    links = visit(user).get("/").html.select("main a")
    assert {link.text: link["href"] for link in links} == {
        "Acme": f"/organizations/{organization.pk}",
        "Beta": f"/organizations/{second.pk}",
    }


def test_pages_follow_each_other_without_gap_or_repeat_also_within_one_moment(
    browser: TestApp, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applications, "PAGE", 2)
    made = [Application.objects.create(organization=organization, name=f"{n}") for n in range(5)]
    moment = made[0].created_at
    Application.objects.filter(pk__in=[one.pk for one in made[1:4]]).update(created_at=moment)
    Application.objects.filter(pk=made[4].pk).update(created_at=moment + timedelta(seconds=1))
    page, seen = browser.get(f"/organizations/{organization.pk}"), []
    while True:
        seen += names(page.html)
        if not page.html.find("a", rel="next"):
            break
        page = page.click("Older")
    assert seen[0] == "4"
    assert sorted(seen) == ["0", "1", "2", "3", "4"]
    assert names(page.click("Newest").html)[0] == "4"


def test_a_cursor_that_is_none_shows_the_first_page(browser: TestApp, application: Application) -> None:
    for cursor in ["nonsense", "%00", "app_"]:
        page = browser.get(f"/organizations/{application.organization_id}?cursor={cursor}")
        assert names(page.html) == ["Customer"]
