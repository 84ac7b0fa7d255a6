"""Every operation, asked nonsense: JSON and the right status always, a server error never."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.core.cache import cache
from django.db import transaction
from rest_framework import serializers
from webtest import TestResponse

from apps.api.fields import Patch
from apps.api.parsers import DEEPEST, LARGEST_BODY
from tests.unit.api.conftest import Api
from tests.unit.api.every_operation import (
    PLANNED_ONES,
    WITH_BODY,
    WITH_PATH,
    WITH_QUERY,
    WORKING,
    Asked,
    fields,
    json_types,
)

pytestmark = pytest.mark.usefixtures("datastore", "private_endpoints")

# What a client can have done wrong, beside its credential.
REFUSED = {400, 404, 409, 413, 415, 422}

SAMPLES: dict[type, list[Any]] = {
    str: ["text", "1", "true"],
    int: [1, 0, 1.5],
    bool: [True],
    list: [[], ["text"]],
    dict: [{}, {"a": "text"}],
}
EXTREMES: dict[type, list[Any]] = {
    str: [
        *("", " ", "\0", "\ud800", "\u202e\U0001f98a", "x" * 100_000, "' OR 1=1 --", "../..", "null"),
        *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-02-30T25:61:61Z", "2026"),
        *("http://[", "https://user:pw@example.com", "http://127.0.0.1:99999", "http://\u2100.example"),
    ],
    int: [0, -1, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308],
    bool: [False],
    list: [[None], [[]], [{}], ["\0"], ["\ud800"], ["a", "a"], ["a"] * 10_000, [["a"] * 100] * 100],
    dict: [
        *({"": ""}, {"\0": "\0"}, {"\ud800": "\ud800"}, {"a": None}, {"a": []}, {"a": {"a": {}}}),
        *({"x" * 10_000: "x"}, {"a": "x" * 100_000}, {str(number): "x" for number in range(10_000)}),
        *({"host": "x"}, {"a": "b\r\nc: d"}, {"a b": "c"}, {"1": {"$ref": "#"}}),
        {"1": {"$ref": "#/1", "properties": {"a": {"$ref": "#/1"}}, "required": ["a"]}},
    ],
}
DEEP: Any = json.loads('{"a":' * (DEEPEST - 3) + "1" + "}" * (DEEPEST - 3))
NO_OBJECTS = [
    *(b"{", b"nonsense", b"[]", b'"text"', b"null", b"true", b"1", b"\0", b"'", b"{'a': 1}", b"{} {}"),
    *(b"\xff\xfe", b'{"a": "\xff"}', b"\xef\xbb\xbf{}", '{"a": "é"}'.encode("utf-16"), b'{"a": "\0"}'),
    *(b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": ' + b"9" * 5000 + b"}"),
    *(b"[" * 200_000, b'{"a":' * 200_000, b'{"a":' * 200 + b"1" + b"}" * 200),
]
OTHER_TYPES = [
    *("text/plain", "application/x-www-form-urlencoded", "application/xml", "application/json-seq"),
    *("multipart/form-data", "multipart/form-data; boundary=x", "nonsense", "/", ";", "a/b/c"),
]
NO_NAMES = [
    *("%00", "%ff", "%C3%A9", "a%20b", "a%0a", "%0d%0aa", "a%2Fb", "..%2f..", "*", "%7B%7D", "%25", "a;b"),
    *("x" * 257, "x" * 20_000, "%F0%9F%A6%8A"),
]
UNKNOWN_NAMES = [
    *("x" * 256, ".", "..a", "-", "_", "app_", "ep_", "msg_", "atmpt_", "qtask_", "org_x", "null", "0"),
    *(f"{prefix}_{'0' * 27}" for prefix in ("app", "ep", "msg", "atmpt", "qtask")),
    *(f"{prefix}_{'z' * 27}" for prefix in ("app", "ep", "msg", "atmpt", "qtask")),
]
# An endpoint that was deleted still has its attempts, so any id is one that it may have had.
OF_WHAT_IS_GONE = {"GET api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt"}
NO_VALUES = ["%00", "%ff", "%zz", "%C3%A9", "a%20b", "[]", "{}", "'", "x" * 5000, "%0a"]
NO_LIMITS = ["", "0", "251", "-1", "1.5", "1e2", "%D9%A1", "9" * 400, "0x10", "1_0", "%2B5", "5%0a"]
NO_ITERATORS = ["a%2Fb", "a%20b", "x" * 258, "%00", "-", "a%0a"]
UNKNOWN_ITERATORS = ["zzz", "-zzz", "app_", "-msg_zzz", "x" * 256, "--a", "-."]


@pytest.fixture
def ask(api: Api, there: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., TestResponse]:
    """Asks by the key of what is there, and leaves SQL as it was. Never a server error, always JSON."""

    def no_name_resolves(*_: object, **__: object) -> None:
        raise socket.gaierror

    def act(
        asked: Asked, body: Any = None, query: str = "", path: str | None = None, **headers: str
    ) -> TestResponse:
        url = (path or asked.path(there)) + query
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with transaction.atomic():
            answer = api(asked.method, url, sent, status="*", **headers)
            if answer.status_int < 300 and asked.method != "GET" and path is None:
                readable(api, asked, there)
            transaction.set_rollback(True)
        cache.clear()
        check(answer)
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", no_name_resolves)
    return act


def readable(api: Api, asked: Asked, there: dict[str, str]) -> None:
    """What was taken can be shown: by the operation of the same path that shows it."""
    if any(one.method == "GET" and one.template == asked.template for one in WORKING):
        check(api("GET", asked.path(there), status="*"))


def check(answer: TestResponse) -> None:
    assert answer.status_int < 300 or answer.status_int in REFUSED | {406, 501}, answer.text
    if answer.status_int == 204:
        assert answer.body == b""
        return
    assert answer.content_type == "application/json"
    if answer.status_int == 422:
        assert all(set(item) == {"loc", "msg", "type"} for item in answer.json["detail"])
    elif answer.status_int >= 400:
        assert set(answer.json) == {"code", "detail"}


def wrong(field: serializers.Field[Any, Any, Any, Any]) -> Iterator[Any]:
    """Values of other types than the field's own."""
    right = json_types(field)
    yield from ([] if field.allow_null else [None])
    for kind, values in SAMPLES.items():
        yield from (value for value in values if kind not in right or type(value) is float)
    child = getattr(field, "child", None)
    if child is not None and type(child) is not serializers.Field:
        yield from ([value] if list in right else {"a": value} for value in wrong(child))


@pytest.mark.parametrize("asked", WITH_BODY, ids=str)
def test_a_field_of_another_type_is_422_and_named(asked: Asked, ask: Callable[..., TestResponse]) -> None:
    for name, field in fields(asked.states.body).items():
        for value in wrong(field):
            answer = ask(asked, asked.body() | {name: value})
            assert answer.status_int == 422, (name, value, answer.text)
            assert [item["loc"][:2] for item in answer.json["detail"]] == [["body", name]], (name, value)


@pytest.mark.parametrize("asked", WITH_BODY, ids=str)
def test_no_extreme_value_of_a_field_is_a_server_error(
    asked: Asked, ask: Callable[..., TestResponse]
) -> None:
    for name, field in fields(asked.states.body).items():
        for value in [*(value for kind in json_types(field) for value in EXTREMES[kind]), DEEP]:
            answer = ask(asked, asked.body() | {name: value})
            assert answer.status_int != 501, (name, value)


@pytest.mark.parametrize("asked", WITH_BODY, ids=str)
def test_a_body_that_is_no_object_is_422(asked: Asked, ask: Callable[..., TestResponse]) -> None:
    for body in NO_OBJECTS:
        (item,) = ask(asked, body).json["detail"]
        assert item["loc"] == ["body"], body[:50]
    takes_nothing = not asked.body() or issubclass(asked.states.body, Patch)
    assert (ask(asked, b"").status_int < 300) == takes_nothing


@pytest.mark.parametrize("asked", WITH_BODY, ids=str)
def test_a_body_over_the_limit_is_413(asked: Asked, ask: Callable[..., TestResponse]) -> None:
    assert ask(asked, b'{"a": "' + b"x" * LARGEST_BODY + b'"}').status_int == 413


@pytest.mark.parametrize("asked", WITH_BODY, ids=str)
def test_another_content_type_is_415(asked: Asked, api: Api, there: dict[str, str]) -> None:
    sent = json.dumps(asked.body()).encode()
    for content_type in OTHER_TYPES:
        headers = api.headers | {"Content-Type": content_type}
        path = asked.path(there)
        check(api.app.request(path, method=asked.method, body=sent, headers=headers, status=415))


@pytest.mark.parametrize("asked", [one for one in WORKING if one not in WITH_BODY], ids=str)
def test_a_body_that_nothing_reads_changes_nothing(asked: Asked, ask: Callable[..., TestResponse]) -> None:
    for body in (b"{", b"\xff", b"[" * 200_000):
        assert ask(asked, body).status_int < 300


@pytest.mark.parametrize("asked", WITH_QUERY, ids=str)
def test_a_query_that_makes_no_sense_is_422(asked: Asked, ask: Callable[..., TestResponse]) -> None:
    for parameter in asked.states.query:
        if parameter.name in asked.parameters:
            continue  # an old path says in itself what a query says now
        # Only this one takes any text: it names an endpoint that is not there.
        expected = 404 if parameter.name == "endpoint_id" else 422
        for value in NO_VALUES:
            answer = ask(asked, asked.body(), f"?{parameter.name}={value}")
            assert answer.status_int == expected, (parameter.name, value, answer.text)


LISTS = [one for one in WITH_QUERY if "iterator" in {parameter.name for parameter in one.states.query}]


@pytest.mark.parametrize("asked", LISTS, ids=str)
def test_a_bad_limit_or_iterator_is_422_and_an_unknown_iterator_a_page(
    asked: Asked, ask: Callable[..., TestResponse]
) -> None:
    for name, values in (("limit", NO_LIMITS), ("iterator", NO_ITERATORS)):
        for value in values:
            (item,) = ask(asked, query=f"?{name}={value}").json["detail"]
            assert item["loc"] == ["query", name], value
    for value in UNKNOWN_ITERATORS:
        answer = ask(asked, query=f"?iterator={quote(value)}&limit=1")
        assert set(answer.json) == {"data", "iterator", "prevIterator", "done"}, value


@pytest.mark.parametrize("asked", WITH_PATH, ids=str)
def test_a_path_that_names_nothing_is_404(
    asked: Asked, ask: Callable[..., TestResponse], there: dict[str, str]
) -> None:
    for parameter in asked.parameters:
        for name in [*NO_NAMES, f"{there[parameter]}%0a"]:
            path = asked.path({**there, parameter: name})
            assert ask(asked, asked.body(), path=path).status_int == 404, name
        for name in UNKNOWN_NAMES:
            answer = ask(asked, asked.body(), path=asked.path({**there, parameter: name}))
            makes_it = asked.method == "PUT" and answer.status_int == 201
            is_gone = str(asked) in OF_WHAT_IS_GONE and answer.json.get("data") == []
            assert makes_it or is_gone or answer.status_int == 404, (parameter, name, answer.text)


@pytest.mark.parametrize("asked", WORKING, ids=str)
def test_no_header_is_a_server_error(asked: Asked, ask: Callable[..., TestResponse]) -> None:
    for headers in (
        {"idempotency_key": "k" * 10_000},
        {"idempotency_key": "\xff\xfe"},
        {"Accept": "text/html"},
        {"Accept": "nonsense"},
        {"Accept": ";q=\xff, */"},
        {"Accept_Language": "\xff"},
    ):
        ask(asked, asked.body(), **headers)


def test_what_is_planned_answers_nonsense_with_501_too(ask: Callable[..., TestResponse]) -> None:
    for asked in PLANNED_ONES:
        for body in (b"{", b"[]", b"\xff", b"[" * 10_000):
            assert ask(asked, body).status_int == 501
