"""Event types over the API."""

from collections.abc import Callable
from typing import Any

import pytest
from svix.models import EventTypeOut, ListResponseEventTypeOut

from apps.accounts.models import Organization
from apps.applications.models import EventType
from tests.unit.api.conftest import Api


def test_a_created_event_type_has_the_shape_the_sdk_reads(api: Api) -> None:
    body = {
        "name": "invoice.paid",
        "description": "",
        "deprecated": True,
        "schemas": {"1": {"type": "object", "maximum": 1.5}},
        "groupName": "billing",
        "featureFlags": ["beta", "beta", "two"],
    }
    response = api.post("/api/v1/event-type", body, status=201)
    EventTypeOut.model_validate_json(response.text, strict=True)
    assert response.json | body | {"featureFlags": ["beta", "two"], "featureFlag": "beta"} == response.json
    assert api.get("/api/v1/event-type/invoice.paid").json == response.json


def test_the_open_servers_single_feature_flag_is_read(api: Api) -> None:
    created = api.post("/api/v1/event-type", {"name": "a", "description": "", "featureFlag": "beta"}).json
    assert (created["featureFlag"], created["featureFlags"]) == ("beta", ["beta"])


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "a b"), ("name", None), ("description", None), ("schemas", []), ("archived", "x")],
)
def test_a_bad_field_is_422(api: Api, field: str, value: Any) -> None:
    body = {"name": "a", "description": "", field: value}
    (item,) = api.post("/api/v1/event-type", body, status=422).json["detail"]
    assert item["loc"] == ["body", field]


def test_a_name_exists_once_in_an_organization(api: Api, stranger: Api) -> None:
    api.post("/api/v1/event-type", {"name": "a", "description": ""}, status=201)
    api.post("/api/v1/event-type", {"name": "a", "description": ""}, status=409)
    stranger.post("/api/v1/event-type", {"name": "a", "description": ""}, status=201)


def test_creating_an_archived_event_type_takes_it_out_of_the_archive(
    api: Api, organization: Organization
) -> None:
    EventType.objects.create(organization=organization, name="a", description="old", archived=True)
    created = api.post("/api/v1/event-type", {"name": "a", "description": "new"}, status=201).json
    assert (created["archived"], created["description"]) == (False, "new")


FULL = {
    "description": "old",
    "deprecated": True,
    "schemas": {"1": {"type": "object"}},
    "groupName": "billing",
    "featureFlags": ["beta"],
}


def test_put_makes_an_event_type_and_then_replaces_it(api: Api) -> None:
    created = api("PUT", "/api/v1/event-type/a.b", FULL, 201)
    EventTypeOut.model_validate_json(created.text, strict=True)
    assert created.json | FULL == created.json
    replaced = api("PUT", "/api/v1/event-type/a.b", {"description": "new"}, 200).json
    EventTypeOut.model_validate(replaced)
    assert (replaced["name"], replaced["description"], replaced["deprecated"]) == ("a.b", "new", False)
    assert (replaced["schemas"], replaced["groupName"], replaced["featureFlags"]) == (None, None, None)
    assert api.get("/api/v1/event-type/a.b").json == replaced


def test_put_takes_an_event_type_out_of_the_archive_or_into_it(api: Api) -> None:
    assert api("PUT", "/api/v1/event-type/a", {"description": "", "archived": True}, 201).json["archived"]
    assert not api("PUT", "/api/v1/event-type/a", {"description": ""}, 200).json["archived"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", ""),
        ("archived", True),
        ("deprecated", False),
        ("schemas", {"2": {}}),
        ("schemas", None),
        ("groupName", "other"),
        ("groupName", None),
        ("featureFlags", ["one", "two"]),
        ("featureFlags", None),
        ("featureFlag", "one"),
        ("featureFlag", None),
    ],
)
def test_patch_changes_what_is_sent_and_nothing_else(api: Api, field: str, value: Any) -> None:
    created = api("PUT", "/api/v1/event-type/a", FULL, 201).json
    patched = api("PATCH", "/api/v1/event-type/a", {field: value}, 200)
    EventTypeOut.model_validate_json(patched.text, strict=True)
    expected = {**created, field: value, "updatedAt": patched.json["updatedAt"]}
    if field.startswith("featureFlag"):
        flags = [value] if isinstance(value, str) else value
        expected |= {"featureFlags": flags, "featureFlag": flags[0] if flags else None}
    assert patched.json == expected
    assert api.get("/api/v1/event-type/a").json == expected


@pytest.mark.parametrize("field", ["description", "archived", "deprecated"])
def test_a_patch_of_null_where_a_value_is_needed_is_422(api: Api, field: str) -> None:
    api("PUT", "/api/v1/event-type/a", FULL, 201)
    (item,) = api("PATCH", "/api/v1/event-type/a", {field: None}, 422).json["detail"]
    assert item["loc"] == ["body", field]


def test_delete_archives_and_expunge_deletes(api: Api) -> None:
    api("PUT", "/api/v1/event-type/a", FULL, 201)
    for _ in range(2):
        api.delete("/api/v1/event-type/a", status=204)
        assert api.get("/api/v1/event-type/a").json["archived"]
    assert api.get("/api/v1/event-type").json["data"] == []
    api.delete("/api/v1/event-type/a?expunge=true", status=204)
    for path in ("", "?expunge=true"):
        api.delete(f"/api/v1/event-type/a{path}", status=404)
    api("PATCH", "/api/v1/event-type/a", {}, 404)


def test_a_stranger_changes_no_event_type(
    api: Api, stranger: Api, nobody: Api, organization: Organization
) -> None:
    event_type = EventType.objects.create(organization=organization, name="a", description="old")
    calls = [("PATCH", "", {"description": "new"}), ("DELETE", "", None), ("DELETE", "?expunge=true", None)]
    for method, query, body in calls:
        stranger(method, f"/api/v1/event-type/a{query}", body, 404)
        nobody(method, f"/api/v1/event-type/a{query}", body, 401)
    nobody("PUT", "/api/v1/event-type/a", {"description": "new"}, 401)
    stranger("PUT", "/api/v1/event-type/a", {"description": "new"}, 201)  # one of their own
    kept = EventType.objects.get(organization=organization)
    assert (kept.pk, kept.description, kept.archived) == (event_type.pk, "old", False)


def test_event_types_are_listed_by_name_forwards_and_backwards(
    api: Api, pages: Callable[..., list[list[Any]]], organization: Organization
) -> None:
    names = ["A", "Z", "a", "a.b", "b"]
    for name in reversed(names):
        EventType.objects.create(organization=organization, name=name)
    assert pages("/api/v1/event-type?limit=2", "name") == [names[:2], names[2:4], names[4:]]
    assert pages("/api/v1/event-type?limit=3", "name", "prevIterator", "-b") == [names[1:4], names[:1]]
    assert pages("/api/v1/event-type?order=descending", "name") == [names[::-1]]


def test_a_list_holds_schemas_and_what_is_archived_only_when_asked(
    api: Api, organization: Organization
) -> None:
    EventType.objects.create(organization=organization, name="a", schemas={"1": {}})
    EventType.objects.create(organization=organization, name="b", archived=True)
    response = api.get("/api/v1/event-type?with_content=false")
    ListResponseEventTypeOut.model_validate_json(response.text, strict=True)
    assert [(one["name"], one["schemas"]) for one in response.json["data"]] == [("a", None)]
    full = api.get("/api/v1/event-type?with_content=true&include_archived=true").json["data"]
    assert [(one["name"], one["schemas"]) for one in full] == [("a", {"1": {}}), ("b", None)]


def test_only_the_owner_reaches_an_event_type(
    api: Api, stranger: Api, nobody: Api, organization: Organization
) -> None:
    EventType.objects.create(organization=organization, name="a")
    api.get("/api/v1/event-type/a", status=200)
    stranger.get("/api/v1/event-type/a", status=404)
    assert stranger.get("/api/v1/event-type").json["data"] == []
    nobody.get("/api/v1/event-type/a", status=401)
    nobody.get("/api/v1/event-type", status=401)
