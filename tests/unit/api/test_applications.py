"""Applications over the API."""

from collections.abc import Callable
from typing import Any

import pytest
from svix.models import ApplicationOut, ListResponseApplicationOut

from apps.accounts.models import Organization
from apps.applications.models import Application
from tests.unit.api.conftest import Api

Pages = Callable[..., list[list[Any]]]


def test_a_created_application_has_the_shape_the_sdk_reads(api: Api) -> None:
    body = {"name": " Acme ", "uid": "acme-1.x_Y", "throttleRate": 7, "metadata": {"plan": "pro", "note": ""}}
    response = api.post("/api/v1/app", body, status=201)
    ApplicationOut.model_validate_json(response.text, strict=True)
    assert response.json | body == response.json
    assert response.json["id"].startswith("app_")
    assert response.json["createdAt"].endswith("Z")
    assert api.get(f"/api/v1/app/{response.json['id']}").json == response.json
    assert api.get("/api/v1/app/acme-1.x_Y/").json == response.json


def test_null_and_unknown_fields_are_as_if_absent(api: Api) -> None:
    body = {"name": "x", "uid": None, "throttleRate": None, "metadata": None, "unheardOf": 1}
    created = api.post("/api/v1/app", body, status=201).json
    assert (created["uid"], created["throttleRate"], created["metadata"]) == (None, None, {})


def test_the_field_names_of_sdk_1_are_read_and_returned(api: Api) -> None:
    created = api.post("/api/v1/app", {"name": "x", "rateLimit": 9}, status=201).json
    assert (created["rateLimit"], created["throttleRate"]) == (9, 9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", 7),
        ("name", None),
        ("name", "x" * 257),
        ("uid", ""),
        ("uid", "a b"),
        ("uid", "app_1"),
        ("uid", "x" * 257),
        ("uid", "trailing\n"),
        ("throttleRate", 0),
        ("throttleRate", 65_536),
        ("throttleRate", "many"),
        ("metadata", {"a": 1}),
        ("metadata", ["a"]),
        ("metadata", {"a": "x" * 5000}),
    ],
)
def test_a_bad_field_is_422_with_its_place(api: Api, field: str, value: Any) -> None:
    (item,) = api.post("/api/v1/app", {"name": "x", field: value}, status=422).json["detail"]
    assert item["loc"][:2] == ["body", field]
    assert not Application.objects.exists()


def test_a_uid_names_one_application_of_an_organization(api: Api, stranger: Api) -> None:
    api.post("/api/v1/app", {"name": "x", "uid": "one"}, status=201)
    assert api.post("/api/v1/app", {"name": "y", "uid": "one"}, status=409).json["code"] == "conflict"
    stranger.post("/api/v1/app", {"name": "x", "uid": "one"}, status=201)


def test_get_if_exists_returns_what_is_there_unchanged(api: Api) -> None:
    created = api.post("/api/v1/app?get_if_exists=true", {"name": "x", "uid": "one"}, status=201).json
    again = api.post("/api/v1/app?get_if_exists=true", {"name": "y", "uid": "one"}, status=200).json
    assert again == created
    api.post("/api/v1/app?get_if_exists=true", {"name": "no uid"}, status=201)


def test_applications_are_listed_by_id_forwards_and_backwards(
    api: Api, pages: Pages, organization: Organization, stranger: Api
) -> None:
    ids = sorted(Application.objects.create(organization=organization, name="x").pk for _ in range(5))
    stranger.post("/api/v1/app", {"name": "not ours"}, status=201)
    assert pages("/api/v1/app?limit=2") == [ids[:2], ids[2:4], ids[4:]]
    back = pages("/api/v1/app?limit=2", by="prevIterator", start=f"-{ids[4]}")
    assert back == [ids[2:4], ids[:2]]
    assert pages("/api/v1/app?limit=5") == [ids]
    assert pages("/api/v1/app?limit=250&order=descending") == [ids[::-1]]


def test_ids_are_listed_in_the_order_of_their_bytes(pages: Pages, organization: Organization) -> None:
    ids = [f"app_{digits}" for digits in ("0Z", "A0", "Zz", "aA", "zZ")]
    for pk in ids:
        Application.objects.create(pk=pk, organization=organization, name="x")
    assert pages("/api/v1/app?limit=2") == [ids[:2], ids[2:4], ids[4:]]


def test_an_empty_list_is_done_and_has_no_iterator(api: Api) -> None:
    response = api.get("/api/v1/app")
    ListResponseApplicationOut.model_validate_json(response.text, strict=True)
    assert response.json == {"data": [], "iterator": None, "prevIterator": None, "done": True}


def test_a_deleted_application_is_gone(api: Api, application: Application) -> None:
    assert api.delete(f"/api/v1/app/{application.uid}", status=204).body == b""
    api.get(f"/api/v1/app/{application.pk}", status=404)
    api.delete(f"/api/v1/app/{application.pk}", status=404)


FULL = {"name": "Acme", "uid": "acme", "throttleRate": 7, "metadata": {"plan": "pro"}}


def test_put_makes_an_application_of_the_uid_in_the_path_and_then_replaces_it(api: Api) -> None:
    created = api("PUT", "/api/v1/app/acme", {"name": "x", "throttleRate": 7, "metadata": {"a": "b"}}, 201)
    ApplicationOut.model_validate_json(created.text, strict=True)
    assert created.json["uid"] == "acme"
    replaced = api("PUT", "/api/v1/app/acme", {"name": "y"}, 200).json
    ApplicationOut.model_validate(replaced)
    assert (replaced["id"], replaced["uid"], replaced["name"]) == (created.json["id"], "acme", "y")
    assert (replaced["throttleRate"], replaced["metadata"]) == (None, {})
    assert replaced["createdAt"] == created.json["createdAt"] < replaced["updatedAt"]
    assert api.get("/api/v1/app/acme").json == replaced


def test_put_by_id_replaces_the_uid_too(api: Api, application: Application) -> None:
    assert api("PUT", f"/api/v1/app/{application.pk}", {"name": "x", "uid": "y"}, 200).json["uid"] == "y"
    assert api("PUT", f"/api/v1/app/{application.pk}", {"name": "x"}, 200).json["uid"] is None


def test_put_of_an_unknown_id_makes_nothing(api: Api) -> None:
    api("PUT", "/api/v1/app/app_2mXnN2vPgy2yYmJzzyVY1LxTeWU", {"name": "x"}, 404)
    assert not Application.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "new"), ("uid", "new"), ("throttleRate", 9), ("rateLimit", 9), ("metadata", {"c": "d"})],
)
def test_patch_changes_what_is_sent_and_nothing_else(api: Api, field: str, value: Any) -> None:
    created = api.post("/api/v1/app", FULL, status=201).json
    patched = api("PATCH", "/api/v1/app/acme", {field: value}, 200)
    ApplicationOut.model_validate_json(patched.text, strict=True)
    expected = {**created, field: value, "updatedAt": patched.json["updatedAt"]}
    if value == 9:
        expected |= {"throttleRate": 9, "rateLimit": 9}
    assert patched.json == expected
    assert api.get(f"/api/v1/app/{created['id']}").json == expected


def test_patch_tells_null_from_absent(api: Api) -> None:
    api.post("/api/v1/app", FULL, status=201)
    assert api("PATCH", "/api/v1/app/acme", {}, 200).json["throttleRate"] == 7
    patched = api("PATCH", "/api/v1/app/acme", {"throttleRate": None, "uid": None}, 200).json
    assert (patched["throttleRate"], patched["uid"], patched["metadata"]) == (None, None, {"plan": "pro"})
    for field in ("name", "metadata"):
        (item,) = api("PATCH", f"/api/v1/app/{patched['id']}", {field: None}, 422).json["detail"]
        assert item["loc"] == ["body", field]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_uid_that_another_application_bears_is_a_conflict(
    api: Api, application: Application, method: str
) -> None:
    api.post("/api/v1/app", FULL, status=201)
    body = {"name": "x", "uid": application.uid}
    assert api(method, "/api/v1/app/acme", body, 409).json["code"] == "conflict"
    assert api.get("/api/v1/app/acme").json["name"] == "Acme"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_each_change_is_one_of_the_applications_snapshot(
    api: Api, application: Application, method: str
) -> None:
    api(method, f"/api/v1/app/{application.pk}", {"name": "x"}, 200)
    assert Application.objects.get().generation != application.generation


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_only_the_owner_reaches_an_application(
    api: Api, stranger: Api, nobody: Api, application: Application, method: str
) -> None:
    body = {} if method == "PATCH" else None
    for name in (application.pk, application.uid):
        assert stranger(method, f"/api/v1/app/{name}", body, 404).json["code"] == "not_found"
        nobody(method, f"/api/v1/app/{name}", body, 401)
    api(method, f"/api/v1/app/{application.pk}", body)


def test_a_strangers_put_reaches_no_application_of_the_owner(
    api: Api, stranger: Api, nobody: Api, application: Application
) -> None:
    body = {"name": "mine"}
    stranger("PUT", f"/api/v1/app/{application.pk}", body, 404)
    nobody("PUT", f"/api/v1/app/{application.pk}", body, 401)
    theirs = stranger("PUT", f"/api/v1/app/{application.uid}", body, 201).json  # a uid of their own
    assert theirs["id"] != application.pk
    assert api.get(f"/api/v1/app/{application.uid}").json["name"] == "Customer"


@pytest.mark.parametrize("name", ["no_endpoints", "disabled_endpoints", "svix_play_endpoints"])
def test_filters_that_do_not_work_yet_are_501(api: Api, name: str) -> None:
    assert name in api.get(f"/api/v1/app?exclude_apps_with_{name}=true", status=501).json["detail"]
    api.get(f"/api/v1/app?exclude_apps_with_{name}=false", status=200)
