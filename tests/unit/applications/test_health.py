from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.applications import health, routing
from apps.applications.models import Application, Endpoint
from apps.applications.routing import Destination
from apps.core import snapshots
from tests.unit.conftest import use_redis

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint(add_endpoint: Callable[..., Endpoint]) -> Endpoint:
    return add_endpoint("https://example.com/")


def destination_of(endpoint: Endpoint) -> Destination:
    found = routing.of(endpoint.application_id).destination(endpoint.pk)
    assert found
    return found


def test_a_marked_endpoint_is_suspect_for_about_five_minutes(endpoint: Endpoint) -> None:
    assert not destination_of(endpoint).is_suspect()
    health.mark_suspect(endpoint.application_id, destination_of(endpoint))
    marked, now = destination_of(endpoint), timezone.now()
    assert marked.is_suspect(now + timedelta(minutes=4))
    assert not marked.is_suspect(now + timedelta(minutes=6))


def test_no_other_endpoint_is_marked(endpoint: Endpoint, add_endpoint: Callable[..., Endpoint]) -> None:
    other = add_endpoint("https://example.com/other")
    health.mark_suspect(endpoint.application_id, destination_of(endpoint))
    assert not destination_of(other).is_suspect()


def test_marking_again_soon_costs_nothing(
    endpoint: Endpoint, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    health.mark_suspect(endpoint.application_id, destination_of(endpoint))
    marked = destination_of(endpoint)
    with django_assert_num_queries(0):
        health.mark_suspect(endpoint.application_id, marked)


def test_the_first_failure_is_remembered_until_a_success(endpoint: Endpoint) -> None:
    for _ in range(2):
        health.mark_suspect(endpoint.application_id, destination_of(endpoint), failed=True)
        first = destination_of(endpoint).failing_since
        Endpoint.objects.update(suspect_until=None)
    assert first == destination_of(endpoint).failing_since is not None
    health.succeeded(endpoint.application_id, destination_of(endpoint))
    assert destination_of(endpoint).failing_since is None


def test_what_is_only_slow_does_not_fail(endpoint: Endpoint) -> None:
    health.mark_suspect(endpoint.application_id, destination_of(endpoint))
    assert destination_of(endpoint).failing_since is None


def test_a_healthy_endpoint_costs_no_query(
    endpoint: Endpoint, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    healthy = destination_of(endpoint)
    with django_assert_num_queries(0):
        health.succeeded(endpoint.application_id, healthy)
        health.exhausted(endpoint.application_id, healthy)


def test_an_endpoint_that_fails_now_and_then_costs_few_writes(
    endpoint: Endpoint, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """Each write is one of the application's snapshot: not one for each of a hundred attempts."""
    per_write = 8  # savepoint, generation, endpoint, savepoint; with Redis, the snapshot is filled again
    reads = 200
    with django_assert_max_num_queries(reads + 2 * per_write):
        for _ in range(100):
            health.mark_suspect(endpoint.application_id, destination_of(endpoint), failed=True)
            health.succeeded(endpoint.application_id, destination_of(endpoint))


@pytest.mark.parametrize("left", [timedelta(minutes=2), timedelta(0), -timedelta(days=1)])
def test_marking_again_later_begins_anew(endpoint: Endpoint, left: timedelta) -> None:
    Endpoint.objects.update(suspect_until=timezone.now() + left)
    health.mark_suspect(endpoint.application_id, destination_of(endpoint))
    assert destination_of(endpoint).is_suspect(timezone.now() + timedelta(minutes=4))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis")
def test_invariant_6_the_mark_shows_in_the_snapshot_at_once(endpoint: Endpoint) -> None:
    before = destination_of(endpoint)
    health.mark_suspect(endpoint.application_id, before)
    assert destination_of(endpoint).is_suspect()


@pytest.mark.parametrize("gone", [Endpoint, Application])
def test_an_endpoint_deleted_meanwhile_is_no_fault(endpoint: Endpoint, gone: type) -> None:
    before = destination_of(endpoint)
    gone.objects.all().delete()
    health.mark_suspect(endpoint.application_id, before)
    assert not Endpoint.objects.exists()


def test_with_redis_out_of_reach_the_endpoint_stays_as_it_was(endpoint: Endpoint, settings: object) -> None:
    before = destination_of(endpoint)
    use_redis(settings, 1)
    health.mark_suspect(endpoint.application_id, before)
    endpoint.refresh_from_db()
    assert endpoint.suspect_until is None


def test_with_sql_out_of_reach_the_attempt_that_found_it_suspect_goes_on(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With warm snapshots attempts are made while SQL is away; what follows the request must be recorded."""
    before = destination_of(endpoint)

    def away(_: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(snapshots, "change", away)
    health.mark_suspect(endpoint.application_id, before)
    assert f"{endpoint.pk} is not marked as suspect" in caplog.text
