"""Every operation, asked by those who may not: refused as docs/access.md says, in JSON, with no effect."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone
from webtest import TestResponse

from apps.accounts.models import ApiKey, Organization
from apps.api.urls import urlpatterns
from apps.api.views import View
from apps.applications import tokens
from apps.applications.models import Application, ApplicationToken
from apps.applications.tokens import Capability
from apps.core.snapshots import change
from apps.deliveries.models import Attempt, Delivery, EventIdRecord, IdempotencyRecord, Message
from tests.draining_backend import DrainingBackend
from tests.unit.api.conftest import Api
from tests.unit.api.every_operation import ALL, CLOSED, PLANNED_ONES, WORKING, Asked

pytestmark = pytest.mark.usefixtures("datastore", "private_endpoints")

KINDS = (Message, Delivery, Attempt, IdempotencyRecord, EventIdRecord)
# Asked for something that is not theirs by a name, these make something of that name that is.
UPSERTS = {"PUT api/v1/app/{app_id}", "PUT api/v1/event-type/{event_type_name}"}
# What needs no credential, and why.
OPEN = {
    "GET api/v1/health": "load balancers ask it",
    "GET api/v1/health/ping": "load balancers ask it",
}

every = pytest.mark.parametrize("asked", CLOSED, ids=str)


@pytest.fixture
def theirs(there: dict[str, str], application: Application) -> list[dict[str, str]]:
    """What the owner has, by uids and by ids: the paths of strangers lead to it."""
    endpoint = application.endpoints.get(uid=there["endpoint_id"])
    return [there, {**there, "app_id": application.pk, "endpoint_id": endpoint.pk}]


def ask(key: str | None, asked: Asked, there: dict[str, str]) -> TestResponse:
    """The request that its owner may make. Every answer is JSON, or nothing at all."""
    answer = Api(key)(asked.method, asked.path(there), asked.body(), status="*")
    if answer.status_int == 204:
        assert answer.body == b""
    else:
        assert answer.content_type == "application/json"
        assert isinstance(answer.json, dict)
    return answer


def everything() -> dict[Any, Any]:
    """Every row and entity there is, and the tasks that are queued."""
    models = [one for one in apps.get_models() if one.__module__.startswith("apps.")]
    rows = {(one, row["pk"]): row for one in models for row in one.objects.values("pk", *columns(one))}
    entities = {entity.key: entity.to_dict() for kind in KINDS for entity in kind.query()}
    return {**rows, **entities, "queued": len(DrainingBackend.queued)}


def columns(model: Any) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


@pytest.fixture
def refused(theirs: list[dict[str, str]]) -> Callable[[str | None, Asked, int], None]:
    """Asks, expects that status, and that nothing whatever changed."""

    def check(key: str | None, asked: Asked, status: int) -> None:
        before = everything()
        for there in theirs:
            answer = ask(key, asked, there)
            assert answer.status_int == status, answer.text
            assert set(answer.json) == {"code", "detail"}
        assert everything() == before

    return check


def test_every_url_of_the_api_is_in_the_tables_and_asks_who_is_there() -> None:
    views = [one.callback.view_class for one in urlpatterns if hasattr(one.callback, "view_class")]
    assert all(issubclass(one, View) for one in views)
    assert len(views) == len({one.template for one in ALL})
    others = {one.name for one in urlpatterns if not hasattr(one.callback, "view_class")}
    assert others == {"openapi", "api-docs"}
    assert {str(one) for one in WORKING if one.is_open} == OPEN.keys()


@every
def test_its_owner_may(asked: Asked, theirs: list[dict[str, str]], api_key: str) -> None:
    """Or else the refusals below would say nothing."""
    again = asked.parameters and asked.method != "DELETE"
    for there in theirs if again else theirs[:1]:
        answer = ask(api_key, asked, there)
        assert answer.status_int < 300, answer.text


@every
def test_without_a_credential_it_is_401(
    asked: Asked, refused: Callable[..., None], organization: Organization, application: Application
) -> None:
    refused(None, asked, 401)
    refused("sk_unknown", asked, 401)
    key, text = ApiKey.issue(organization, "revoked")
    key.revoke()
    refused(text, asked, 401)


@every
def test_a_token_that_expired_is_401(
    asked: Asked, refused: Callable[..., None], application: Application
) -> None:
    ended = tokens.issue(application)
    tokens.expire(application, after=timedelta())
    refused(ended, asked, 401)
    application.refresh_from_db()
    old = tokens.issue(application)
    ApplicationToken.objects.update(expires_at=timezone.now())
    refused(old, asked, 401)


@every
def test_another_organizations_key_finds_nothing(
    asked: Asked, theirs: list[dict[str, str]], refused: Callable[..., None], stranger_key: str
) -> None:
    if asked.parameters and str(asked) not in UPSERTS:
        refused(stranger_key, asked, 404)
        return
    before = everything()
    answer = ask(stranger_key, asked, theirs[0])
    assert answer.status_int == 201 if asked.parameters else answer.status_int < 300
    after = everything()
    assert {key: after[key] for key in before} == before, "what they make is their own"
    if not asked.parameters:
        assert not [value for value in theirs[1].values() if f'"{value}"' in answer.text]


def test_another_organizations_key_can_not_take_an_application_by_its_id(
    stranger_key: str, api: Api, application: Application
) -> None:
    path = f"/api/v1/app/{application.pk}"
    Api(stranger_key)("PUT", path, {"name": "Mine"}, status=404)
    assert api.get(path).json["name"] == application.name


@every
@pytest.mark.parametrize("whose", ["the same organization's", "another organization's"])
def test_a_token_of_another_application_finds_nothing(
    asked: Asked,
    whose: str,
    theirs: list[dict[str, str]],
    refused: Callable[..., None],
    organization: Organization,
) -> None:
    is_ours = whose == "the same organization's"
    owner = organization if is_ours else Organization.objects.create(name="Stranger")
    token = tokens.issue(Application.objects.create(organization=owner, name="Other"))
    if asked.scope is None:
        refused(token, asked, 403)
    elif "app_id" in asked.parameters or (asked.parameters and not is_ours):
        refused(token, asked, 404)
    else:
        answer = ask(token, asked, theirs[0])
        assert answer.status_int == 200
        assert ("invoice.paid" in answer.text) == is_ours, "event types are the organization's"


@every
def test_a_token_without_the_capability_is_403(
    asked: Asked, refused: Callable[..., None], application: Application
) -> None:
    lacking = set(Capability) - (asked.scope or set())
    refused(tokens.issue(application, capabilities=lacking), asked, 403)


@pytest.mark.parametrize(
    ("asked", "capability"),
    [(one, capability) for one in CLOSED for capability in sorted(one.scope or [])],
    ids=str,
)
def test_one_capability_of_those_that_allow_it_is_enough(
    asked: Asked, capability: Capability, there: dict[str, str], application: Application
) -> None:
    answer = ask(tokens.issue(application, capabilities=[capability]), asked, there)
    assert answer.status_int < 300, answer.text


def test_what_is_planned_is_refused_alike(
    there: dict[str, str], stranger_key: str, application: Application, organization: Organization
) -> None:
    """501 is for those who may ask."""
    own = tokens.issue(application)
    other = tokens.issue(Application.objects.create(organization=organization, name="Other"))
    for asked in PLANNED_ONES:
        assert ask(None, asked, there).status_int == 401
        assert ask(stranger_key, asked, there).status_int == 501
        assert ask(own, asked, there).status_int == (403 if asked.scope is None else 501)
        for_others = 404 if "app_id" in asked.parameters else 501
        assert ask(other, asked, there).status_int == (403 if asked.scope is None else for_others)


def test_head_is_no_way_around(application: Application, api_key: str, nobody: Api) -> None:
    token = Api(tokens.issue(application))
    for who, status in ((nobody, 401), (token, 403), (Api(api_key), 200)):
        who("HEAD", "/api/v1/app", status=status)
    token("HEAD", f"/api/v1/app/{application.uid}", status=200)
    Api(tokens.issue(application, capabilities=[]))("HEAD", f"/api/v1/app/{application.uid}", status=403)


def test_a_uid_that_moves_to_another_application_takes_no_token_along(
    application: Application, organization: Organization
) -> None:
    token, path = Api(tokens.issue(application)), f"/api/v1/app/{application.uid}"
    token.get(path, status=200)
    with change(application):
        Application.objects.filter(pk=application.pk).update(uid="renamed")
    Application.objects.create(organization=organization, name="Other", uid="customer-1")
    token.get(path, status=404)
