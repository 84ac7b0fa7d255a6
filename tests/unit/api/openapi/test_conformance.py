"""schemathesis asks every operation of the OpenAPI document what the document allows, and what it does not.

Requests are drawn from the schemas: the same ones on every run. Most go to what is there, made anew for each
request, the others to ids that schemathesis invents.
"""

import json
import socket
from collections.abc import Callable, Iterator

import pytest
import schemathesis
from django.core.cache import cache
from django.db import transaction
from django.http.request import HttpHeaders, QueryDict
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

import main
from apps.api import parameters
from apps.api.openapi.views import FILE
from tests.unit.api.conftest import Api

pytestmark = pytest.mark.usefixtures("datastore", "private_endpoints")

EXAMPLES = 12  # an operation and mode
# Undocumented statuses, bodies that are not what their schema says, other content types; and 5xx, always.
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.response_schema_conformance,
    checks.content_type_conformance,
]
IDEMPOTENCY_KEY = "idempotency-key"

SCHEMA = schemathesis.openapi.from_dict(
    json.loads(FILE.read_text()),
    # A method that is no operation answers 405, or 501 where the SDKs have one: test_not_implemented.py.
    config=schemathesis.Config.from_dict({"phases": {"coverage": {"unexpected-methods": []}}}),
)
SCHEMA.app = main.app
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
CAN_BE_WRONG = [label for label, one in OPERATIONS.items() if one.body or list(one.iter_parameters())]


@pytest.fixture
def ask(there: dict[str, str], api: Api, monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], int]:
    """Sends a case with the key, compares the answer with the document, and leaves SQL as it was."""

    def no_name_resolves(*_: object, **__: object) -> None:
        raise socket.gaierror

    def act(case: Case) -> int:
        with transaction.atomic():
            response = case.call(headers=api.headers)
            transaction.set_rollback(True)
        cache.clear()
        case.validate_response(response, checks=CHECKS)
        return response.status_code

    # Endpoints get URLs that schemathesis invents; nobody's name server is to be asked for them.
    monkeypatch.setattr(socket, "getaddrinfo", no_name_resolves)
    return act


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of query parameters, and of the idempotency key, that views ask for."""
    names = set()

    class Query(QueryDict):
        def get(self, key: str, default: object = None) -> object:
            names.add(key)
            return super().get(key, default)

        def getlist(self, key: str, default: object = None) -> list[object]:
            names.add(key)
            return super().getlist(key, default)

    def header(headers: HttpHeaders, name: str) -> str:
        names.update({name} & {IDEMPOTENCY_KEY})
        return original(headers, name)

    original = HttpHeaders.__getitem__
    monkeypatch.setattr(HttpHeaders, "__getitem__", header)
    monkeypatch.setattr("django.core.handlers.wsgi.QueryDict", Query)
    # What is refused with 501 is not in the document.
    monkeypatch.setattr(parameters, "refuse", lambda *_: None)
    return names


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_the_document_allows_works_and_is_answered_as_documented(
    label: str, ask: Callable[[Case], int], there: dict[str, str], read: set[str]
) -> None:
    statuses = set()

    @given(case=cases(label, GenerationMode.POSITIVE), is_there=st.sampled_from([True, True, True, False]))
    @bounded
    def run(case: Case, is_there: bool) -> None:
        if is_there:
            point(case, there)
        statuses.add(ask(case))

    run()
    assert min(statuses) < 300, "no request was right: is its schema stricter, see json_schema in fields.py?"
    stated = {one.name for one in OPERATIONS[label].iter_parameters() if one.location.value != "path"} - {
        "Authorization"
    }
    assert read - {"format"} == stated, "what its view reads, and what its @operation states"


@pytest.mark.parametrize("label", CAN_BE_WRONG)
def test_what_the_document_forbids_is_answered_as_documented(
    label: str, ask: Callable[[Case], int], there: dict[str, str]
) -> None:
    @given(case=cases(label, GenerationMode.NEGATIVE), is_there=st.sampled_from([True, True, True, False]))
    @bounded
    def run(case: Case, is_there: bool) -> None:
        if is_there:
            point(case, there)
        ask(case)

    run()


@pytest.mark.parametrize("label", OPERATIONS)
def test_the_edges_of_what_it_allows_are_answered_as_documented(
    label: str, ask: Callable[[Case], int], there: dict[str, str]
) -> None:
    for case in edges(label):
        point(case, there)
        ask(case)


bounded = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def cases(label: str, mode: GenerationMode) -> st.SearchStrategy[Case]:
    return OPERATIONS[label].as_strategy(generation_mode=mode)


def edges(label: str) -> Iterator[Case]:
    """Each parameter and field at its bounds, beyond them, left out, twice, and of other types."""
    operation = OPERATIONS[label]
    generation = SCHEMA.config.generation_for(operation=operation)
    modes = list(GenerationMode)
    return SCHEMA.iter_coverage_cases(operation, generation_modes=modes, generation_config=generation)


def point(case: Case, there: dict[str, str]) -> None:
    """At what is there, whatever path was invented."""
    for name in case.path_parameters or {}:
        assert name in there, f"Nothing is there for {{{name}}}: make one in the fixture `there`."
        case.path_parameters[name] = there[name]
    # An example is one of an event type that is there, and has at least one.
    if case.path.endswith("/send-example") and isinstance(case.body, dict) and "eventType" in case.body:
        case.body = {**case.body, "eventType": there["event_type_name"]}
