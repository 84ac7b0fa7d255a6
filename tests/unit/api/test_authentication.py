"""Who gets in."""

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import ApiKey, Organization
from tests.unit.api.conftest import Api


def test_a_key_of_the_organization_gets_in_with_one_query_at_most(api: Api) -> None:
    api.get("/api/v1/auth/logout", status=405)  # with Redis, the first one fills it
    with CaptureQueriesContext(connection) as queries:
        api.get("/api/v1/auth/logout", status=405)
    assert len(queries) == (0 if settings.REDIS_HOST else 1)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer sk_unknown", "Basic c2s6eA==", "sk_unknown", "Bearer \xff"]
)
def test_anything_else_is_401_and_says_what_is_wanted(nobody: Api, header: str) -> None:
    response = nobody("GET", "/api/v1/app", status=401, Authorization=header)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert set(response.json) == {"code", "detail"}


def test_a_revoked_key_is_refused_at_once(organization: Organization) -> None:
    key, text = ApiKey.issue(organization, "short-lived")
    Api(text).get("/api/v1/app")
    key.revoke()
    Api(text).get("/api/v1/app", status=401)


def test_the_scheme_is_read_in_any_case(nobody: Api, api_key: str) -> None:
    nobody("GET", "/api/v1/app", status=200, Authorization=f"bearer {api_key}")
