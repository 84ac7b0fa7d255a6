"""/api/docs: Swagger UI under the site's Content-Security-Policy."""

import re

from django.contrib.staticfiles import finders

from tests.unit.api.conftest import Api


def test_it_is_there_for_everybody(nobody: Api) -> None:
    assert 'data-document="/api/openapi.json"' in nobody.get("/api/docs", 200).text
    nobody.get("/api/docs/", 200)


def test_it_runs_no_script_and_takes_no_style_but_files_of_the_site(nobody: Api) -> None:
    page = nobody.get("/api/docs").text
    assert not re.findall(r"<script(?![^>]* src=\"/static/)|<style| style=| on\w+=|javascript:", page)
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
    files = re.findall(r"(?:src|href)=\"/static/([^\"]+)\"", page)
    assert {file: bool(finders.find(file)) for file in files} == dict.fromkeys(files, True)
    assert any("swagger-ui" in file for file in files)


def test_its_policy_is_the_sites_but_for_pictures_in_the_style_sheet(nobody: Api) -> None:
    policy, everywhere = (
        dict(rule.split(" ", 1) for rule in page.headers["Content-Security-Policy"].split("; "))
        for page in (nobody.get("/api/docs"), nobody.get("/sign-in"))
    )
    assert policy.pop("img-src") == "'self' data:"
    assert policy == everywhere
    assert everywhere["default-src"] == "'self'"
