import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import caches
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import Organization
from apps.applications import routing
from apps.applications.models import Application, Endpoint
from apps.applications.routing import Destination
from apps.core.snapshots import change

pytestmark = pytest.mark.django_db

type AddEndpoint = Callable[..., Endpoint]


@pytest.fixture
def stranger(db: None) -> Organization:
    return Organization.objects.create(name="Stranger")


@pytest.fixture
def _without_redis(settings: object) -> None:
    settings.REDIS_HOST = ""


def destination(**fields: object) -> Destination:
    plain = {"id": "ep_1", "uid": None, "url": "https://example.com/", "disabled": False}
    filters = {"event_types": None, "channels": None}
    return Destination(
        **{
            **plain,
            **filters,
            "encrypted_signing_secret": "",
            "encrypted_old_signing_secrets": None,
            "encrypted_headers": None,
            "suspect_until": None,
            "failing_since": None,
            **fields,
        }
    )


@pytest.mark.parametrize("known_by", ["pk", "uid"])
def test_a_route_is_found_by_id_and_by_uid(application: Application, known_by: str) -> None:
    route = routing.find(application.organization_id, getattr(application, known_by))
    assert (route.application_id, route.organization_id, route.uid) == (
        application.pk,
        application.organization_id,
        "customer-1",
    )
    assert route.destinations == []


def test_an_application_without_a_uid_is_found_by_id(organization: Organization) -> None:
    application = Application.objects.create(organization=organization, name="Plain")
    assert routing.find(organization.pk, application.pk).uid is None


@pytest.mark.parametrize("name", ["app_2mXnN2vPgy2yYmJzzyVY1LxTeWU", "app_", "unknown", "", "customer-2"])
def test_an_unknown_application_does_not_exist(application: Application, name: str) -> None:
    with pytest.raises(Application.DoesNotExist):
        routing.find(application.organization_id, name)


@pytest.mark.parametrize("known_by", ["pk", "uid"])
def test_invariant_8_another_tenants_application_does_not_exist(
    application: Application, stranger: Organization, known_by: str
) -> None:
    with pytest.raises(Application.DoesNotExist):
        routing.find(stranger.pk, getattr(application, known_by))


def test_invariant_8_the_same_uid_leads_each_tenant_to_its_own(
    application: Application, stranger: Organization
) -> None:
    theirs = Application.objects.create(organization=stranger, name="Theirs", uid=application.uid)
    assert routing.find(stranger.pk, "customer-1").application_id == theirs.pk
    assert routing.find(application.organization_id, "customer-1").application_id == application.pk


def test_a_route_holds_all_endpoints_of_its_application_and_no_other(
    application: Application, organization: Organization, add_endpoint: AddEndpoint
) -> None:
    until = timezone.now() + timedelta(minutes=5)
    plain = add_endpoint("https://example.com/1")
    rich = add_endpoint(
        "https://example.com/2",
        uid="second",
        disabled=True,
        event_types=["a.b", "c"],
        channels=["red"],
        suspect_until=until,
        signing_secret="whsec_" + "A" * 32,
        old_signing_secrets=[
            {"secret": "whsec_" + "B" * 32, "valid_until": until.isoformat()},
            {"secret": "whsec_" + "C" * 32, "valid_until": timezone.now().isoformat()},
        ],
        headers={"X-Key": "opensesame"},
    )
    other = Application.objects.create(organization=organization, name="Other")
    Endpoint.objects.create(application=other, url="https://example.com/3")

    route = routing.of(application.pk)
    assert {one.id for one in route.destinations} == {plain.pk, rich.pk}
    found = route.destination(rich.pk)
    assert (found.uid, found.url, found.disabled) == ("second", "https://example.com/2", True)
    assert (found.event_types, found.channels) == (["a.b", "c"], ["red"])
    assert found.signing_secrets() == ["whsec_" + "A" * 32, "whsec_" + "B" * 32]
    assert found.headers() == {"X-Key": "opensesame"}
    assert datetime.fromisoformat(found.suspect_until) == until
    found = route.destination(plain.pk)
    assert (found.uid, found.disabled, found.event_types, found.channels) == (None, False, None, None)
    assert found.signing_secrets() == [plain.signing_secret]
    assert found.suspect_until is None
    assert found.headers() == {}
    assert route.destination("ep_unknown") is None


@pytest.mark.usefixtures("_without_redis")
def test_without_redis_a_route_is_one_query_by_id_and_two_by_uid(
    application: Application, add_endpoint: AddEndpoint, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        add_endpoint(f"https://example.com/{number}")
    with django_assert_num_queries(1):
        assert len(routing.find(application.organization_id, application.pk).destinations) == 3
    with django_assert_num_queries(2):
        assert len(routing.find(application.organization_id, application.uid).destinations) == 3


@pytest.mark.usefixtures("redis")
def test_with_redis_warm_a_route_is_no_query_and_the_same(
    application: Application, add_endpoint: AddEndpoint, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    add_endpoint("https://example.com/", event_types=["a"], suspect_until=timezone.now())
    cold = [routing.find(application.organization_id, name) for name in (application.pk, application.uid)]
    with django_assert_num_queries(0):
        warm = [routing.find(application.organization_id, name) for name in (application.pk, application.uid)]
    assert cold == warm
    assert cold[0] == cold[1]


@pytest.mark.usefixtures("redis")
def test_no_signing_secret_and_no_header_is_in_redis_in_plain_text(
    application: Application, add_endpoint: AddEndpoint
) -> None:
    old = [{"secret": "whsec_" + "B" * 32, "valid_until": timezone.now().isoformat()}]
    headers = {"X-Key": "opensesame"}
    secret = add_endpoint("https://example.com/", headers=headers, old_signing_secrets=old).signing_secret
    routing.find(application.organization_id, application.uid)
    client = caches["default"].client.get_client()
    everything = b"".join(client.get(name) for name in client.scan_iter())
    assert b"https://example.com/" in everything
    assert secret.removeprefix("whsec_").encode() not in everything
    assert b"opensesame" not in everything
    assert b"B" * 32 not in everything
    assert json.loads(client.get(f":1:snapshot:{application.snapshot_name}:{routing.SHAPE}"))


def test_no_signing_secret_and_no_header_is_shown_when_a_route_is(
    application: Application, add_endpoint: AddEndpoint
) -> None:
    secret = add_endpoint("https://example.com/", headers={"X-Key": "opensesame"}).signing_secret
    shown = repr(routing.of(application.pk))
    assert secret.removeprefix("whsec_") not in shown
    assert "opensesame" not in shown


def test_a_header_that_was_forbidden_after_it_was_stored_is_not_sent(
    application: Application, add_endpoint: AddEndpoint
) -> None:
    endpoint = add_endpoint("https://example.com/", headers={"Host": "inside", "Webhook_Id": "1", "X-A": "b"})
    assert routing.of(application.pk).destination(endpoint.pk).headers() == {"X-A": "b"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis")
def test_invariant_6_a_route_shows_each_change_at_once(
    application: Application, add_endpoint: AddEndpoint
) -> None:
    def urls() -> list[str]:
        return [one.url for one in routing.find(application.organization_id, application.uid).destinations]

    assert urls() == []
    with change(application):
        endpoint = add_endpoint("https://example.com/1")
    assert urls() == urls() == ["https://example.com/1"]
    with change(application):
        Endpoint.objects.update(url="https://example.com/2")
    assert urls() == urls() == ["https://example.com/2"]
    with change(application):
        endpoint.delete()
    assert urls() == urls() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis")
def test_invariant_6_a_uid_given_to_another_application_leads_there_at_once(
    application: Application, organization: Organization
) -> None:
    heir = Application.objects.create(organization=organization, name="Heir")
    assert routing.find(organization.pk, "customer-1").application_id == application.pk
    for one, uid in ((application, None), (heir, "customer-1")):
        with change(one):
            Application.objects.filter(pk=one.pk).update(uid=uid)
    assert routing.find(organization.pk, "customer-1").application_id == heir.pk


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis")
def test_invariant_6_a_deleted_application_is_gone_at_once(application: Application) -> None:
    routing.find(application.organization_id, application.uid)
    with change(application):
        Application.objects.filter(pk=application.pk).delete()
    for name in (application.pk, application.uid):
        with pytest.raises(Application.DoesNotExist):
            routing.find(application.organization_id, name)


@pytest.mark.parametrize(
    ("subscribed", "event_type", "wants"),
    [
        (None, "invoice.paid", True),
        (["invoice.paid"], "invoice.paid", True),
        (["a", "invoice.paid"], "invoice.paid", True),
        (["invoice"], "invoice.paid", False),
        (["invoice.paid"], "invoice", False),
        ([], "invoice.paid", False),
    ],
)
def test_an_endpoint_wants_the_event_types_it_subscribed_to(
    subscribed: list[str] | None, event_type: str, wants: bool
) -> None:
    assert destination(event_types=subscribed).wants(event_type, []) is wants


@pytest.mark.parametrize(
    ("subscribed", "channels", "wants"),
    [
        (None, [], True),
        (None, ["red"], True),
        ([], ["red"], True),
        (["red"], ["red"], True),
        (["red", "blue"], ["green", "blue"], True),
        (["red"], ["blue"], False),
        (["red"], [], False),
        (["red"], ["redder"], False),
    ],
)
def test_an_endpoint_with_channels_wants_only_messages_with_one_of_them(
    subscribed: list[str] | None, channels: list[str], wants: bool
) -> None:
    assert destination(channels=subscribed).wants("any", channels) is wants


def test_an_endpoint_wants_what_both_filters_let_through() -> None:
    both = destination(event_types=["a"], channels=["red"])
    assert both.wants("a", ["red"])
    assert not both.wants("b", ["red"])
    assert not both.wants("a", ["blue"])


def test_an_endpoint_is_suspect_until_the_time_is_over() -> None:
    until = datetime(2026, 11, 22, 12, tzinfo=UTC)
    suspect = destination(suspect_until=until.isoformat())
    assert suspect.is_suspect(until - timedelta(microseconds=1))
    assert not suspect.is_suspect(until)
    assert not destination().is_suspect()
    assert destination(suspect_until=(timezone.now() + timedelta(minutes=1)).isoformat()).is_suspect()
