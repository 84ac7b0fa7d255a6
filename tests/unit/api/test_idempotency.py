"""The idempotency-key header on what lives in SQL: never a second effect."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import ApiKey, Organization
from apps.api.idempotency import DELETED_AT_ONCE, KEPT
from apps.api.models import IdempotentResponse
from apps.applications.models import Application, Endpoint, EventType
from tests.unit.api.conftest import Api

AtOnce = Callable[..., list[Any]]
URL = "https://93.184.215.14/hook"


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/api/v1/app", {"name": "x"}, Application),
        ("/api/v1/app/customer-1/endpoint", {"url": URL}, Endpoint),
        ("/api/v1/event-type", {"name": "a", "description": ""}, EventType),
    ],
)
@pytest.mark.usefixtures("application")
def test_the_same_key_twice_creates_once_and_answers_alike(
    api: Api, path: str, body: dict[str, Any], model: Any
) -> None:
    before = model.objects.count()
    first, second = (api.post(path, body, status=201, idempotency_key="key") for _ in "ab")
    assert first.json == second.json
    assert model.objects.count() == before + 1


def test_a_key_is_bound_to_the_url_by_whatever_name(api: Api, application: Application) -> None:
    by_id, by_uid = (f"/api/v1/app/{name}/endpoint" for name in (application.pk, application.uid))
    first = api.post(by_id, {"url": URL}, idempotency_key="key").json
    assert api.post(by_uid, {"url": URL}, idempotency_key="key").json == first
    assert api.post("/api/v1/app", {"name": "x"}, idempotency_key="key").json["id"].startswith("app_")


def test_a_key_is_bound_to_the_credential(api: Api, stranger: Api, organization: Organization) -> None:
    other_key = Api(ApiKey.issue(organization, "other")[1])
    clients = (api, stranger, other_key)
    made = {one.post("/api/v1/app", {"name": "x"}, idempotency_key="k").json["id"] for one in clients}
    assert len(made) == 3


def test_without_a_key_every_post_counts(api: Api) -> None:
    for headers in ({}, {"idempotency_key": ""}):
        made = {api.post("/api/v1/app", {"name": "x"}, **headers).json["id"] for _ in "ab"}
        assert len(made) == 2


def test_an_error_is_not_kept(api: Api, application: Application) -> None:
    body = {"name": "x", "uid": application.uid}
    api.post("/api/v1/app", body, status=409, idempotency_key="key")
    assert not IdempotentResponse.objects.exists()
    api.delete(f"/api/v1/app/{application.pk}")
    api.post("/api/v1/app", body, status=201, idempotency_key="key")


def test_an_unexpected_error_leaves_nothing_behind(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as fault:
        # It fails when all has been written, a moment before the commit.
        fault.setattr(IdempotentResponse, "save", broken_save)
        api.post("/api/v1/app", {"name": "x"}, status=500, idempotency_key="key")
    assert not Application.objects.exists()
    api.post("/api/v1/app", {"name": "x"}, status=201, idempotency_key="key")
    assert Application.objects.count() == 1


def broken_save(row: IdempotentResponse, **options: Any) -> None:
    if "update_fields" in options:
        raise RuntimeError("a crash")
    super(IdempotentResponse, row).save(**options)


def test_after_twelve_hours_a_key_is_free_again(api: Api) -> None:
    def post() -> str:
        made: str = api.post("/api/v1/app", {"name": "x"}, status=201, idempotency_key="key").json["id"]
        return made

    first = post()
    IdempotentResponse.objects.update(created_at=timezone.now() - KEPT + timedelta(minutes=1))
    assert post() == first
    IdempotentResponse.objects.update(created_at=timezone.now() - KEPT - timedelta(minutes=1))
    leave_expired(2 * DELETED_AT_ONCE)
    assert post() != first


def leave_expired(count: int) -> None:
    expired = timezone.now() - KEPT - timedelta(hours=1)
    IdempotentResponse.objects.bulk_create(
        IdempotentResponse(digest=str(number), created_at=expired) for number in range(count)
    )


def test_new_answers_make_room_by_deleting_expired_ones(api: Api) -> None:
    leave_expired(DELETED_AT_ONCE + 3)
    for key in "ab":
        api.post("/api/v1/app", {"name": "x"}, idempotency_key=key)
    assert set(IdempotentResponse.objects.values_list("status", flat=True)) == {201}


@pytest.mark.django_db(transaction=True)
def test_the_same_key_at_the_same_instant_creates_once(api: Api, at_once: AtOnce) -> None:
    answers = at_once(
        4, lambda: api.post("/api/v1/app", {"name": "x"}, status=201, idempotency_key="key").json
    )
    assert len({answer["id"] for answer in answers}) == 1
    assert applications(api, at_once) == [answers[0]]


@pytest.mark.django_db(transaction=True)
def test_get_if_exists_at_the_same_instant_creates_once(api: Api, at_once: AtOnce) -> None:
    path, body = "/api/v1/app?get_if_exists=true", {"name": "x", "uid": "one"}
    answers = at_once(4, lambda: api.post(path, body))
    assert sorted(answer.status_int for answer in answers) == [200, 200, 200, 201]
    assert applications(api, at_once) == [answers[0].json]


@pytest.mark.django_db(transaction=True)
def test_a_request_that_waited_for_one_that_failed_is_a_clean_run(
    api: Api, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([RuntimeError("a crash")])

    def save_or_crash(row: IdempotentResponse, **options: Any) -> None:
        if "update_fields" in options and (error := next(failures, None)):
            raise error
        super(IdempotentResponse, row).save(**options)

    monkeypatch.setattr(IdempotentResponse, "save", save_or_crash)
    answers = at_once(3, lambda: api.post("/api/v1/app", {"name": "x"}, status="*", idempotency_key="key"))
    assert sorted(answer.status_int for answer in answers) == [201, 201, 500]
    assert len(applications(api, at_once)) == 1


def applications(api: Api, at_once: AtOnce) -> list[dict[str, Any]]:
    (found,) = at_once(1, lambda: api.get("/api/v1/app").json["data"])
    return found
