"""Endpoints over the API."""

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from svix.models import EndpointOut, EndpointSecretOut, ListResponseEndpointOut

from apps.applications.models import Application, Endpoint
from apps.applications.routing import Route
from tests.unit.api.conftest import Api

# A literal address: nothing is resolved.
URL = "https://93.184.215.14/hook?x=1"


@pytest.fixture
def path(application: Application) -> str:
    return f"/api/v1/app/{application.pk}/endpoint"


def test_a_created_endpoint_has_the_shape_the_sdk_reads(api: Api, application: Application) -> None:
    body = {
        "url": URL,
        "uid": "main",
        "description": "The main one",
        "disabled": True,
        "eventTypes": ["a.b", "c", "a.b"],
        "channels": ["x"],
        "throttleRate": 5,
        "metadata": {"a": "b"},
    }
    response = api.post(f"/api/v1/app/{application.uid}/endpoint", body, status=201)
    EndpointOut.model_validate_json(response.text, strict=True)
    assert response.json | body | {"eventTypes": ["a.b", "c"], "version": 1} == response.json
    assert response.json["id"].startswith("ep_")
    for name in (response.json["id"], "main"):
        assert api.get(f"/api/v1/app/{application.pk}/endpoint/{name}").json == response.json


def test_only_the_url_is_needed(api: Api, path: str) -> None:
    body = {"url": URL, "uid": None, "eventTypes": None, "channels": None, "secret": None, "headers": None}
    created = api.post(path, body, status=201).json
    assert (created["description"], created["disabled"], created["metadata"]) == ("", False, {})
    assert (created["uid"], created["eventTypes"], created["channels"]) == (None, None, None)


def test_the_field_names_of_sdk_1_are_read_and_returned(api: Api, path: str) -> None:
    body = {"url": URL, "version": 1, "filterTypes": ["a"], "rateLimit": 3}
    created = api.post(path, body, status=201).json
    assert (created["filterTypes"], created["eventTypes"]) == (["a"], ["a"])
    assert (created["rateLimit"], created["throttleRate"]) == (3, 3)


def test_the_newer_name_counts_where_both_are_sent(api: Api, path: str) -> None:
    created = api.post(path, {"url": URL, "filterTypes": ["old"], "eventTypes": ["new"]}, status=201).json
    assert created["eventTypes"] == ["new"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", None),
        ("url", "example.com"),
        ("url", "ftp://93.184.215.14/"),
        ("url", "http://127.0.0.1/"),
        ("url", "http://[::1]/"),
        ("url", "http://169.254.169.254/latest"),
        ("url", "https://user:password@93.184.215.14/"),
        ("url", "https://93.184.215.14:99999/"),
        ("url", "https://93.184.215.14/" + "x" * 65_536),
        ("uid", "ep_1"),
        ("eventTypes", []),
        ("eventTypes", ["a b"]),
        ("eventTypes", "a"),
        ("channels", []),
        ("channels", list("abcdefghijk")),
        ("channels", ["x" * 129]),
        ("throttleRate", 0),
        ("disabled", "perhaps"),
        ("secret", "whsec_short"),
        ("secret", "whsec_" + b64encode(b"x" * 23).decode()),
        ("secret", "whsec_" + b64encode(b"x" * 76).decode()),
        ("secret", "x" * 33),
        ("secret", "not base64!" * 4),
        ("headers", "X-A: b"),
        ("headers", {"X-A": 1}),
        ("headers", {"X-A": None}),
        ("headers", {"X-A": ["b"]}),
        ("headers", {"Host": "example.com"}),
        ("headers", {"X A": "b"}),
    ],
)
def test_a_bad_field_is_422_with_its_place(api: Api, path: str, field: str, value: Any) -> None:
    (item, *_) = api.post(path, {"url": URL, field: value}, status=422).json["detail"]
    assert item["loc"][:2] == ["body", field]
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize("prefix", ["", "whsec_"])
@pytest.mark.parametrize("length", [24, 75])
def test_a_given_signing_secret_is_kept(api: Api, path: str, prefix: str, length: int) -> None:
    base64 = b64encode(b"k" * length).decode()
    created = api.post(path, {"url": URL, "secret": prefix + base64}, status=201).json
    response = api.get(f"{path}/{created['id']}/secret")
    EndpointSecretOut.model_validate_json(response.text, strict=True)
    assert response.json == {"key": f"whsec_{base64}"}


def test_a_signing_secret_is_made_for_those_who_give_none(api: Api, path: str) -> None:
    keys = {api.get(f"{path}/{api.post(path, {'url': URL}).json['id']}/secret").json["key"] for _ in range(2)}
    assert len(keys) == 2
    assert all(key.startswith("whsec_") for key in keys)


def test_a_refused_value_is_not_repeated(api: Api, path: str) -> None:
    headers = {"X-Key": "hunter2\n"}
    response = api.post(path, {"url": URL, "headers": headers}, status=422)
    assert "X-Key" in response.text
    assert "hunter2" not in response.text


def test_a_uid_names_one_endpoint_of_an_application(api: Api, path: str) -> None:
    api.post(path, {"url": URL, "uid": "one"}, status=201)
    api.post(path, {"url": URL, "uid": "one"}, status=409)
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    api.post(f"/api/v1/app/{other}/endpoint", {"url": URL, "uid": "one"}, status=201)


def test_the_limit_of_endpoints_is_a_conflict(api: Api, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "MAX_PER_APPLICATION", 1)
    api.post(path, {"url": URL}, status=201)
    assert "at most 1" in api.post(path, {"url": URL}, status=409).json["detail"]


def test_a_new_endpoint_is_on_the_route_and_a_deleted_one_is_not(
    api: Api, path: str, application: Application, route_of: Callable[[], Route]
) -> None:
    created = api.post(path, {"url": URL}, status=201).json
    generation = Application.objects.get().generation
    assert [one.id for one in route_of().destinations] == [created["id"]]
    assert api.delete(f"{path}/{created['id']}", status=204).body == b""
    assert route_of().destinations == []
    api.delete(f"{path}/{created['id']}", status=404)
    # Every change is one of the application's snapshot.
    assert len({application.generation, generation, Application.objects.get().generation}) == 3


def test_endpoints_are_listed_newest_first_forwards_and_backwards(
    api: Api, path: str, pages: Callable[..., list[list[Any]]], add_endpoint: Callable[..., Endpoint]
) -> None:
    ids = sorted((add_endpoint(URL).pk for _ in range(5)), reverse=True)
    ListResponseEndpointOut.model_validate_json(api.get(path).text, strict=True)
    assert pages(f"{path}?limit=2") == [ids[:2], ids[2:4], ids[4:]]
    assert pages(f"{path}?limit=2", by="prevIterator", start=f"-{ids[4]}") == [ids[2:4], ids[:2]]
    assert pages(f"{path}?order=ascending") == [ids[::-1]]


FULL = {
    "url": URL,
    "uid": "main",
    "description": "The main one",
    "disabled": True,
    "eventTypes": ["a"],
    "channels": ["x"],
    "throttleRate": 5,
    "metadata": {"a": "b"},
}


def test_put_makes_an_endpoint_of_the_uid_in_the_path_and_then_replaces_it(api: Api, path: str) -> None:
    body = {name: value for name, value in FULL.items() if name != "uid"}
    created = api("PUT", f"{path}/main", body, 201)
    EndpointOut.model_validate_json(created.text, strict=True)
    assert created.json | FULL == created.json
    replaced = api("PUT", f"{path}/main", {"url": f"{URL}2"}, 200).json
    EndpointOut.model_validate(replaced)
    assert (replaced["id"], replaced["uid"], replaced["url"]) == (created.json["id"], "main", f"{URL}2")
    assert (replaced["description"], replaced["disabled"], replaced["metadata"]) == ("", False, {})
    assert (replaced["eventTypes"], replaced["channels"], replaced["throttleRate"]) == (None, None, None)
    assert api.get(f"{path}/main").json == replaced


def test_put_leaves_signing_secret_and_headers_as_they_are(
    api: Api, path: str, add_endpoint: Callable[..., Endpoint]
) -> None:
    endpoint = add_endpoint(URL, headers={"X-A": "b"})
    api("PUT", f"{path}/{endpoint.pk}", {"url": f"{URL}2", "uid": "new"}, 200)
    changed = Endpoint.objects.get()
    assert (changed.uid, changed.url) == ("new", f"{URL}2")
    assert (changed.signing_secret, changed.headers) == (endpoint.signing_secret, {"X-A": "b"})


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("field", ["secret", "headers"])
def test_what_has_a_path_of_its_own_is_not_ignored_in_silence(
    api: Api, path: str, add_endpoint: Callable[..., Endpoint], method: str, field: str
) -> None:
    body = {"url": URL, field: {"X-A": "b"}}
    assert field in api(method, f"{path}/{add_endpoint(URL).pk}", body, 501).json["detail"]


def test_put_of_an_unknown_id_makes_nothing(api: Api, path: str) -> None:
    api("PUT", f"{path}/ep_2mXnN2vPgy2yYmJzzyVY1LxTeWU", {"url": URL}, 404)
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", f"{URL}2"),
        ("uid", "new"),
        ("description", ""),
        ("disabled", False),
        ("eventTypes", ["b", "c"]),
        ("filterTypes", ["b", "c"]),
        ("channels", ["y"]),
        ("throttleRate", 9),
        ("rateLimit", 9),
        ("metadata", {}),
        ("eventTypes", None),
        ("channels", None),
        ("throttleRate", None),
        ("uid", None),
    ],
)
def test_patch_changes_what_is_sent_and_nothing_else(api: Api, path: str, field: str, value: Any) -> None:
    created = api.post(path, FULL, status=201).json
    patched = api("PATCH", f"{path}/main", {field: value, "version": 1}, 200)
    EndpointOut.model_validate_json(patched.text, strict=True)
    expected = {**created, field: value, "updatedAt": patched.json["updatedAt"]}
    for names in (["eventTypes", "filterTypes"], ["throttleRate", "rateLimit"]):
        if field in names:
            expected |= dict.fromkeys(names, value)
    assert patched.json == expected
    assert api.get(f"{path}/{created['id']}").json == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", None),
        ("description", None),
        ("disabled", None),
        ("metadata", None),
        ("eventTypes", []),
        ("url", "http://127.0.0.1/"),
        ("throttleRate", 0),
        ("uid", "ep_1"),
        ("channels", "x"),
    ],
)
def test_a_patch_with_a_bad_field_is_422_and_changes_nothing(
    api: Api, path: str, field: str, value: Any
) -> None:
    created = api.post(path, FULL, status=201).json
    (item, *_) = api("PATCH", f"{path}/main", {"description": "new", field: value}, 422).json["detail"]
    assert item["loc"] == ["body", field]
    assert api.get(f"{path}/main").json == created


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_uid_that_another_endpoint_bears_is_a_conflict(
    api: Api, path: str, add_endpoint: Callable[..., Endpoint], method: str
) -> None:
    add_endpoint(URL, uid="one")
    add_endpoint(URL, uid="two")
    assert api(method, f"{path}/two", {"url": URL, "uid": "one"}, 409).json["code"] == "conflict"
    assert Endpoint.objects.filter(uid="two").count() == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_endpoint_that_is_enabled_again_begins_anew(
    api: Api, path: str, add_endpoint: Callable[..., Endpoint], method: str
) -> None:
    long_ago = timezone.now() - timedelta(days=6)
    endpoint = add_endpoint(URL, disabled=True, failing_since=long_ago)
    for disabled in (True, False):
        assert Endpoint.objects.get().failing_since == long_ago
        api(method, f"{path}/{endpoint.pk}", {"url": URL, "disabled": disabled}, 200)
    assert Endpoint.objects.get().failing_since is None


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_of_an_enabled_endpoint_forgets_no_failures(
    api: Api, path: str, add_endpoint: Callable[..., Endpoint], method: str
) -> None:
    endpoint = add_endpoint(URL, failing_since=timezone.now())
    api(method, f"{path}/{endpoint.pk}", {"url": URL, "disabled": False}, 200)
    assert Endpoint.objects.get().failing_since is not None


def test_put_keeps_to_the_limit_of_endpoints(api: Api, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "MAX_PER_APPLICATION", 1)
    api("PUT", f"{path}/one", {"url": URL}, 201)
    api("PUT", f"{path}/one", {"url": URL}, 200)
    api("PUT", f"{path}/two", {"url": URL}, 409)


def test_what_put_and_patch_change_shows_on_the_route(
    api: Api, path: str, application: Application, route_of: Callable[[], Route]
) -> None:
    generations = {application.generation}
    for method, url in (("PUT", URL), ("PUT", f"{URL}2"), ("PATCH", f"{URL}3")):
        api(method, f"{path}/main", {"url": url})
        assert [one.url for one in route_of().destinations] == [url]
        generations.add(Application.objects.get().generation)
    assert len(generations) == 4, "every change is one of the application's snapshot"


def test_a_strangers_put_and_patch_change_nothing(
    api: Api, stranger: Api, nobody: Api, path: str, add_endpoint: Callable[..., Endpoint]
) -> None:
    endpoint = add_endpoint(URL, uid="one")
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    for method in ("PUT", "PATCH"):
        for name in (endpoint.pk, "one", "two"):
            stranger(method, f"{path}/{name}", {"url": f"{URL}2"}, 404)
            nobody(method, f"{path}/{name}", {"url": f"{URL}2"}, 401)
        api(method, f"/api/v1/app/{other}/endpoint/{endpoint.pk}", {"url": f"{URL}2"}, 404)
    assert [one.url for one in Endpoint.objects.all()] == [URL]


@pytest.mark.parametrize(
    ("method", "below"), [("GET", ""), ("GET", "/secret"), ("GET", "/headers"), ("DELETE", "")]
)
def test_only_the_owner_reaches_an_endpoint(
    api: Api,
    stranger: Api,
    nobody: Api,
    path: str,
    add_endpoint: Callable[..., Endpoint],
    method: str,
    below: str,
) -> None:
    endpoint = add_endpoint(URL, uid="one")
    for name in (endpoint.pk, "one"):
        stranger(method, f"{path}/{name}{below}", status=404)
        nobody(method, f"{path}/{name}{below}", status=401)
    stranger.get(path, status=404)
    stranger.post(path, {"url": URL}, status=404)
    nobody.post(path, {"url": URL}, status=401)
    other = api.post("/api/v1/app", {"name": "other"}).json["id"]
    api(method, f"/api/v1/app/{other}/endpoint/{endpoint.pk}{below}", status=404)
    api(method, f"{path}/{endpoint.pk}{below}")
