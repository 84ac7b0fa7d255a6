"""What holds for every page: no script, no inline style, a policy that forbids both, landmarks, errors."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory
from django.views import defaults
from webtest import TestApp

from apps.accounts.models import Organization
from apps.applications.models import Application, Endpoint
from apps.dashboard.views import applications
from apps.deliveries.models import Message

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore")]

TEMPLATES = list((Path(__file__).resolve().parents[3] / "apps").glob("*/templates/**/*.html"))


@pytest.fixture
def paths(
    application: Application, add_endpoint: Callable[..., Endpoint], send: Callable[..., Message]
) -> list[str]:
    add_endpoint("https://example.com/hook")
    root = f"/applications/{application.pk}"
    return [
        f"/organizations/{application.organization_id}",
        f"{root}/messages",
        f"{root}/messages/{send().message_id}",
        f"{root}/first-message",
        "/portal",
        "/no-such-page",
    ]


def test_every_page_has_a_title_landmarks_one_heading_and_labelled_tables(
    browser: TestApp, paths: list[str]
) -> None:
    titles = set()
    for path in paths:
        html = browser.get(path, expect_errors=True).html
        titles.add(" ".join(html.title.text.split()))
        assert len(html.select("html[lang] > body > header")) == 1
        assert len(html.select("h1")) == 1
        assert html.select_one("body > a")["href"] == f"#{html.main['id']}"
        for table in html.select("table"):
            assert table.caption
            assert all(header.has_attr("scope") for header in table.select("th"))
        ids = [tag["id"] for tag in html.select("[id]")]
        assert len(ids) == len(set(ids))
    assert len(titles) == len(paths)
    assert all(title.endswith("· Waybill") for title in titles)


def test_every_page_forbids_what_is_inline_and_holds_nothing_inline(
    browser: TestApp, paths: list[str]
) -> None:
    for path in paths:
        page = browser.get(path, expect_errors=True)
        policy = page.headers["Content-Security-Policy"]
        assert policy == (
            "default-src 'self'; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'; object-src 'none'"
        )
        assert page.html.select("script, style, [style]") == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_carries_script_or_style(template: Path) -> None:
    """A script is a file of the site's own, as the policy asks."""
    inline = r"<script(?![^>]*\ssrc=)|<script[^>]*>(?!</script>)|<style|\sstyle=|\son\w+="
    assert not re.search(inline, template.read_text())


@pytest.mark.parametrize("status", [404, 403, 500])
def test_an_error_page_says_what_happened_and_leads_on(status: int) -> None:
    request = RequestFactory().get("/")
    request.user = None
    views = {
        404: lambda: defaults.page_not_found(request, Exception()),
        403: lambda: defaults.permission_denied(request, PermissionDenied()),
        500: lambda: defaults.server_error(request),
    }
    answer = views[status]()
    assert answer.status_code == status
    assert '<a href="/">Go to the start page</a>' in answer.content.decode()


def test_a_fault_answers_the_error_page_and_no_traceback(
    browser: TestApp, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(applications, "newest", fault)
    answer = browser.get(f"/organizations/{organization.pk}", status=500)
    assert "Something went wrong on our side" in answer.text
    assert "secret detail" not in answer.text


def test_style_and_icon_are_files_that_exist(browser: TestApp, paths: list[str]) -> None:
    links = {
        link["href"] for path in paths for link in browser.get(path, expect_errors=True).html.select("link")
    }
    assert len(links) == 3
    assert all(finders.find(link.removeprefix("/static/")) for link in links)
