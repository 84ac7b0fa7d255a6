import pytest
from pytest_django import DjangoAssertNumQueries

from apps.accounts.credentials import authenticate
from apps.accounts.models import ApiKey, Organization

pytestmark = pytest.mark.django_db


def test_a_key_acts_for_its_organization(organization: Organization, api_key: str) -> None:
    credential = authenticate(api_key)
    assert credential
    assert credential.organization_id == organization.pk
    assert credential.key_digest == ApiKey.digest_of(api_key)
    assert credential.is_authenticated


def test_invariant_8_another_organizations_key_acts_for_that(
    organization: Organization, stranger_key: str
) -> None:
    credential = authenticate(stranger_key)
    assert credential
    assert credential.organization_id != organization.pk


def test_a_key_that_is_almost_right_is_refused(api_key: str) -> None:
    for almost in (api_key.upper(), api_key[:-1], f"{api_key} ", f" {api_key}", api_key.removeprefix("sk_")):
        assert authenticate(almost) is None


@pytest.mark.parametrize("text", ["", "sk_", "\x00", "\u00e9\U0001f98a", "a" * 100_000, "%", "' OR 1=1 --"])
def test_what_is_no_key_is_refused(api_key: str, text: str) -> None:
    assert authenticate(text) is None


def test_a_digest_is_no_key(api_key: str) -> None:
    assert authenticate(ApiKey.digest_of(api_key)) is None


@pytest.mark.usefixtures("_without_redis")
def test_without_redis_it_is_one_query(
    api_key: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for text in (api_key, "unknown"):
        with django_assert_num_queries(1):
            authenticate(text)


@pytest.mark.usefixtures("redis")
def test_with_redis_warm_it_is_no_query(
    api_key: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    cold = authenticate(api_key)
    with django_assert_num_queries(0):
        assert authenticate(api_key) == cold


@pytest.mark.usefixtures("redis")
def test_with_redis_cold_an_unknown_key_is_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(1):
        assert authenticate("unknown") is None


@pytest.fixture
def _without_redis(settings: object) -> None:
    settings.REDIS_HOST = ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cache_of_the_test", ["redis", "_without_redis"])
def test_invariant_6_a_revoked_key_is_refused_at_once(
    api_key: str, cache_of_the_test: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(cache_of_the_test)
    assert authenticate(api_key)
    assert authenticate(api_key), "from its snapshot"
    ApiKey.objects.get(pk=ApiKey.digest_of(api_key)).revoke()
    assert authenticate(api_key) is None
    assert authenticate(api_key) is None
