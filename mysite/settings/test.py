"""The test suite: fast hashing, and tasks kept by a small backend until a test runs them."""

import os

os.environ.setdefault("GOOGLE_CLOUD_PROJECT", "test")
# Test processes share one Redis: each has a database of its own, the first one the last.
os.environ["REDIS_DB"] = os.environ.get("PYTEST_XDIST_WORKER", "gw15").removeprefix("gw")

from .base import *  # noqa: F403  the settings below override the base
from .base import TASK_OPTIONS, TASKS

SECRET_KEY = "test-only-key-000000000000000000000000000000000000"  # noqa: S105  no secret
ALLOWED_HOSTS = ["localhost", "testserver", "127.0.0.1"]
FIELD_ENCRYPTION_KEYS = ["test:dGVzdC1vbmx5LWtleS1uZXZlci1pbi1wcm9kdWN0aW8="]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
TASK_OPTIONS |= {"TARGET": "appengine", "PROJECT": "test", "LOCATION": "local"}
TASKS["default"]["BACKEND"] = "tests.draining_backend.DrainingBackend"
