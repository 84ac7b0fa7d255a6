"""A real Redis for the unit tests that are about it; the others run with or without one."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from tests import with_services


@pytest.fixture(scope="session")
def redis_server() -> Iterator[int]:
    """The port of a Redis of this test process. Without the program the test is skipped, in CI it fails."""
    try:
        program = with_services.redis()
        environment = program.__enter__()
    except with_services.ServiceMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    yield int(environment["REDIS_PORT"])
    program.__exit__(None, None, None)


@pytest.fixture
def redis(redis_server: int, settings: Any) -> Iterator[None]:
    """Snapshots and the cache are in an empty Redis."""
    use_redis(settings, redis_server)
    cache.clear()
    yield
    cache.close()


def use_redis(settings: Any, port: int) -> None:
    """Configure Redis on 127.0.0.1 as the base settings do for REDIS_HOST."""
    settings.REDIS_HOST, settings.REDIS_PORT = "127.0.0.1", port
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{port}/0",
            "OPTIONS": {
                "SOCKET_CONNECT_TIMEOUT": 1,
                "SOCKET_TIMEOUT": 1,
                "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            },
        }
    }
