"""Health needs no key and no store."""

import pytest

from tests.unit.api.conftest import Api


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/health/", "/api/v1/health/ping"])
def test_health_answers_204_to_anybody(nobody: Api, method: str, path: str) -> None:
    response = nobody(method, path)
    assert (response.status_int, response.body) == (204, b"")
