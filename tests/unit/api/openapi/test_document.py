"""The OpenAPI document: what it says is what the code says."""

import json
from typing import Any

import pytest

from apps.api.openapi import document
from apps.api.openapi.views import FILE
from apps.api.operations import OPERATIONS
from apps.api.urls import VIEWS
from tests.unit.api.conftest import Api

METHODS = {
    f"{method.upper()} {path}": getattr(view, method)
    for path, view in VIEWS.items()
    for method in document.METHODS
    if hasattr(view, method)
}


@pytest.fixture(scope="module")
def written() -> Any:
    return json.loads(FILE.read_text())


@pytest.mark.parametrize("name", METHODS)
def test_every_operation_states_what_it_takes_and_answers(name: str) -> None:
    method = METHODS[name]
    assert method in OPERATIONS, (
        f"{name} is in apps/api/urls.py. Put @operation(id, {{status: TypedDict}}, body=, query=, errors=) "
        f"from apps/api/operations.py above {method.__qualname__} in {method.__module__}, "
        "then run: .venv/bin/python manage.py openapi"
    )


def test_the_document_is_what_the_code_says() -> None:
    is_current = FILE.read_text() == document.text()
    assert is_current, "Run: .venv/bin/python manage.py openapi"


def test_it_has_the_operations_that_work_and_no_other(written: Any) -> None:
    stated = {
        f"{method.upper()} {path[1:]}" for path, methods in written["paths"].items() for method in methods
    }
    assert stated == METHODS.keys()


def test_each_operation_has_an_id_of_its_own(written: Any) -> None:
    ids = [one["operationId"] for methods in written["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))


def test_it_needs_no_credential(nobody: Api, written: Any) -> None:
    answer = nobody.get("/api/openapi.json", 200)
    assert answer.content_type == "application/json"
    assert answer.json == written
