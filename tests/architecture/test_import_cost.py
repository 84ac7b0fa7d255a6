"""What a new instance imports before it answers. Counted, not timed: a count is the same everywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A new instance imports all of these before its first answer, on a slow core. About 1,510 today; Django,
# NDB with gRPC, aiohttp and cryptography are most of them, and there is no way around those. A library
# of a hundred modules that a view pulls in for one use is what this bound is to show.
MOST_MODULES = 1_600

# Each with what would be wrong.
UNWANTED = {
    "google.cloud.storage": "0.55 s, for payloads too large for an entity only",
    "google.cloud.secretmanager": "0.6 s, and SECRETS is not set here",
    "google.cloud.tasks_v2": "0.4 s, opened by warmup",
    "google.cloud.logging": "0.45 s, where a line on stdout does",
    "storages": "opens Cloud Storage",
    "apps.appengine.local": "development only, not uploaded",
    "mysite.settings.local": "development only, not uploaded",
    "debug_toolbar": "a development requirement",
    "opentelemetry.proto": "imported by the thread that sends spans",
    "opentelemetry.sdk": "the start would cost 3 to 6 % more (docs/decisions/0027-spans.md)",
    "grpc_reflection": "a development requirement",
    "httpx": "aiohttp is the one HTTP library",
    "mypy": "a development requirement",
    "pydantic": "serializers are DRF's",
    "pytest": "a test requirement",
    "tests": "not uploaded",
    "uvicorn": "not used",
    "webtest": "a test requirement",
    "whitenoise": "for the container; App Engine's handlers serve static files",
}

START = """
import json, sys
import main
from django.urls import get_resolver
get_resolver().url_patterns  # what the first request or warmup adds: all views
print(json.dumps(sorted(sys.modules)))
"""
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "mysite.settings.production",
    "DJANGO_SECRET_KEY": "not-a-secret-but-as-long-as-one-has-to-be-000000000",
    "FIELD_ENCRYPTION_KEYS": "k:bm90LWEta2V5LWJ1dC1hcy1sb25nLWFzLW9uZS0wMDA=",
    "GOOGLE_CLOUD_PROJECT": "some-project",
    "INSTANCE_CONNECTION_NAME": "some-project:region:main",
    "DB_NAME": "app",
    "DB_USER": "app",
    "DB_PASSWORD": "not-a-secret",
    "REDIS_HOST": "10.0.0.1",
    "MEDIA_BUCKET": "some-bucket",
    "TASKS_TARGET": "appengine",
    "CLOUD_TASKS_LOCATION": "region",
}


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules of a fresh production process with main.app and every view in it."""
    return modules_with()


def modules_with(**variables: str) -> set[str]:
    environment = {**ENVIRONMENT, **variables}
    started = subprocess.run(
        [sys.executable, "-c", START], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert started.returncode == 0, started.stderr
    return set(json.loads(started.stdout))


def test_invariant_9_a_new_instance_imports_nothing_that_few_requests_need(imported: set[str]) -> None:
    found = {name: why for name, why in UNWANTED.items() if name in imported}
    assert not found


def test_invariant_9_a_new_instance_imports_no_more_modules_than_agreed(imported: set[str]) -> None:
    assert len(imported) <= MOST_MODULES


def test_invariant_9_sending_spans_costs_the_start_one_module(imported: set[str]) -> None:
    sending = modules_with(TRACE_EXPORT="https://telemetry.googleapis.com/v1/traces")
    assert sending - imported == {"apps.appengine.spans.sender"}


# webhooks: begin
UNWANTED |= {
    "apps.api.openapi.document": "development only: it makes the file that is served",
    "drf_spectacular": "a development requirement",
    "jsonschema": "what drf_spectacular needs",
    "standardwebhooks": "a test requirement",
    "svix": "a test requirement",
}


def test_the_hot_path_is_imported_before_the_first_message(imported: set[str]) -> None:
    """Or else the first request would pay for it."""
    assert {"apps.deliveries.transport", "apps.core.datastore", "aiohttp", "rest_framework.views"} <= imported


# webhooks: end
