"""Everything the official SDK can call is answered in JSON: by an operation, or by 501."""

import re
from importlib.resources import files

import pytest

from apps.api.not_implemented import PLANNED
from apps.api.urls import VIEWS
from tests.unit.api.conftest import Api

CALL = re.compile(r'method="(?P<method>\w+)",\s*path="(?P<path>[^"]+)"')
CALLS = sorted(
    {
        (call["method"].upper(), call["path"])
        for module in files("svix.api").iterdir()
        if module.name.endswith(".py")
        for call in CALL.finditer(module.read_text())
    }
)


def test_the_sdk_was_read() -> None:
    assert len(CALLS) > 100


def test_every_call_of_the_sdk_is_known_and_answered_in_json(api: Api) -> None:
    for method, template in CALLS:
        path = re.sub(r"{\w+}", "some-id", template)
        response = api(method, path, status="*")
        if response.status_int == 204:
            continue
        assert response.content_type == "application/json", (method, path)
        # Of the operations that work, some find nothing, or miss a body; none is unknown.
        assert response.status_int in {200, 404, 422, 501}, (method, path, response.text)
        assert "There is nothing at this URL" not in response.text, (method, path)


@pytest.mark.parametrize("path", sorted(PLANNED))
def test_what_is_planned_answers_501_with_or_without_a_slash(api: Api, path: str) -> None:
    for method in PLANNED[path].split():
        for slash in ("", "/"):
            response = api(method, "/" + re.sub(r"{\w+}", "some-id", path) + slash, status=501)
            assert response.json["code"] == "not_implemented"


def test_what_works_is_not_planned_any_more() -> None:
    for path in VIEWS.keys() & PLANNED.keys():
        for method in PLANNED[path].split():
            assert not hasattr(VIEWS[path], method.lower()), (method, path)


def test_501_is_not_for_those_without_a_key(nobody: Api) -> None:
    nobody("GET", "/api/v1/connector", status=401)
