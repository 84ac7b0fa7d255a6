"""Application tokens: what they act for, how they end, and what asking costs."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts import credentials
from apps.accounts.models import ApiKey
from apps.applications import tokens
from apps.applications.models import Application, ApplicationToken
from apps.applications.tokens import Capability, authenticate, expire, issue
from apps.core.snapshots import change

pytestmark = pytest.mark.django_db

NOW = timedelta()


@pytest.fixture
def token(application: Application) -> str:
    return issue(application)


@pytest.fixture(params=["redis", "_without_redis"])
def _with_and_without_redis(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(request.param)


@pytest.fixture
def _without_redis(settings: object) -> None:
    settings.REDIS_HOST = ""


def test_a_token_acts_for_its_application(application: Application) -> None:
    text = issue(application, capabilities=[Capability.VIEW_BASE], feature_flags=["beta"])
    credential = authenticate(text)
    assert credential
    assert credential.application_id == application.pk
    assert credential.organization_id == application.organization_id
    assert credential.capabilities == {"ViewBase"}
    assert credential.feature_flags == {"beta"}
    assert credential.is_authenticated


def test_only_its_digest_is_kept(application: Application, token: str) -> None:
    (row,) = ApplicationToken.objects.values()
    assert row["digest"] == ApiKey.digest_of(token)
    assert token.split("_", 2)[2] not in str(row)


def test_it_is_no_api_key(token: str) -> None:
    assert credentials.authenticate(token) is None


@pytest.mark.usefixtures("_with_and_without_redis")
def test_a_token_that_is_almost_right_is_refused(application: Application, token: str) -> None:
    other = Application.objects.create(organization=application.organization, name="Other")
    renamed = token.replace(application.pk.removeprefix("app_"), other.pk.removeprefix("app_"))
    assert authenticate(token)
    for almost in (token.upper(), token[:-1], f"{token} ", token.removeprefix("appsk_"), renamed):
        assert authenticate(almost) is None


@pytest.mark.parametrize(
    "text", ["", "appsk_", "appsk_\x00", "appsk_" + "é" * 27, "appsk_" + "a" * 100_000, "appsk_" + "0" * 27]
)
def test_what_is_no_token_is_refused(token: str, text: str) -> None:
    assert authenticate(text) is None


@pytest.mark.usefixtures("_with_and_without_redis")
def test_a_token_ends_with_its_time_also_in_a_snapshot(application: Application) -> None:
    token = issue(application, lasts=timedelta(hours=1))
    assert authenticate(token)
    ApplicationToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with change(application):
        pass  # whoever writes the row of a token does so
    assert authenticate(token) is None


@pytest.mark.usefixtures("redis")
def test_a_snapshot_does_not_outlive_the_token(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issue(application, lasts=timedelta(hours=1))
    assert authenticate(token)
    later = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(tokens.timezone, "now", lambda: later)
    assert authenticate(token) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_with_and_without_redis")
def test_invariant_6_expired_tokens_are_refused_at_once(application: Application, token: str) -> None:
    assert authenticate(token)
    assert authenticate(token), "from its snapshot"
    expire(application, after=NOW)
    assert authenticate(token) is None
    assert authenticate(token) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_with_and_without_redis")
def test_a_token_ends_with_its_application(application: Application, token: str) -> None:
    assert authenticate(token)
    with change(application):
        application.delete()
    assert authenticate(token) is None


def test_a_token_made_after_the_others_expired_works(application: Application, token: str) -> None:
    expire(application, after=NOW)
    application.refresh_from_db()
    assert authenticate(issue(application))
    assert authenticate(token) is None


def test_another_applications_tokens_stay(application: Application, token: str) -> None:
    other = Application.objects.create(organization=application.organization, name="Other")
    expire(other, after=NOW)
    expire(other, after=NOW, session_ids=[""])
    assert authenticate(token)


def test_of_some_sessions_only(application: Application) -> None:
    ended, lasting = issue(application, session_id="one"), issue(application, session_id="two")
    expire(application, after=NOW, session_ids=["one", "three"])
    assert authenticate(ended) is None
    assert authenticate(lasting)


def test_expiring_later_brings_the_end_forward_and_never_puts_it_off(application: Application) -> None:
    short, long = issue(application, lasts=timedelta(hours=1)), issue(application)
    expire(application, after=timedelta(hours=2))
    ends = {text: authenticate(text).expires_at - timezone.now() for text in (short, long)}
    assert ends[short] <= timedelta(hours=1)
    assert timedelta(hours=1) < ends[long] <= timedelta(hours=2)


def test_expired_tokens_go_as_new_ones_come(application: Application, token: str) -> None:
    ApplicationToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    issue(application)
    assert not ApplicationToken.objects.filter(digest=ApiKey.digest_of(token)).exists()
    assert ApplicationToken.objects.count() == 1


@pytest.mark.usefixtures("_without_redis")
def test_without_redis_it_is_one_query(token: str, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for text in (token, token[:-1]):
        with django_assert_num_queries(1):
            authenticate(text)
    with django_assert_num_queries(0):
        authenticate("appsk_nonsense")


@pytest.mark.usefixtures("redis")
def test_with_redis_warm_it_is_no_query(
    token: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    cold = authenticate(token)
    with django_assert_num_queries(0):
        assert authenticate(token) == cold
