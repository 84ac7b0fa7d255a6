"""Secrets over the real gRPC protocol, from a Secret Manager that lives in the test."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import grpc
import pytest
from django.core.exceptions import ImproperlyConfigured
from google.cloud.secretmanager_v1 import AccessSecretVersionRequest, AccessSecretVersionResponse

from apps.appengine import secrets
from apps.appengine.secret_manager import SecretsUnavailable

ROOT = Path(__file__).parents[2]
METHOD = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion"


class SecretManager(grpc.GenericRpcHandler):
    """Answers from `values`; the names of some secrets make it fail instead."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.released = threading.Event()
        self.asked: list[str] = []
        self.together = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self.access,
            request_deserializer=AccessSecretVersionRequest.deserialize,
            response_serializer=AccessSecretVersionResponse.serialize,
        )

    def access(
        self, request: AccessSecretVersionRequest, context: grpc.ServicerContext
    ) -> AccessSecretVersionResponse:
        self.asked.append(request.name)
        _, _, _, name, _, version = request.name.split("/")
        if name == "forbidden":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "Permission denied on resource.")
        if name == "hangs":
            self.released.wait()
        if name == "restarts" and self.asked.count(request.name) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Try again.")
        if name == "slow":
            time.sleep(0.3)
        value = self.values.get(f"{name}:{version}")
        if value is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "Secret not found or has no versions.")
        checksum = google_crc32c.value(value) ^ (name == "damaged")
        payload = {"data": value} if name == "unchecked" else {"data": value, "data_crc32c": checksum}
        return AccessSecretVersionResponse(name=request.name, payload=payload)


@pytest.fixture
def manager() -> SecretManager:
    return SecretManager()


@pytest.fixture
def environ(manager: SecretManager) -> Iterator[dict[str, str]]:
    """An environment that points at the running Secret Manager."""
    server = grpc.server(ThreadPoolExecutor(16), handlers=[manager])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield {"GOOGLE_CLOUD_PROJECT": "my-project", "SECRET_MANAGER_EMULATOR_HOST": f"127.0.0.1:{port}"}
    manager.released.set()
    server.stop(None).wait()


def test_variables_get_the_values_of_the_pinned_versions(
    manager: SecretManager, environ: dict[str, str]
) -> None:
    manager.values = {"db-password:1": b"old", "db-password:2": b"p\xc3\xa4ss\n", "unchecked:1": b"fine"}
    secrets.load(environ | {"SECRETS": ""})
    environ["SECRETS"] = "DB_PASSWORD=db-password:2,OTHER=unchecked:1"
    secrets.load(environ)
    assert (environ["DB_PASSWORD"], environ["OTHER"]) == ("päss\n", "fine")
    assert sorted(manager.asked) == [
        "projects/my-project/secrets/db-password/versions/2",
        "projects/my-project/secrets/unchecked/versions/1",
    ]


def test_two_variables_may_share_a_secret(manager: SecretManager, environ: dict[str, str]) -> None:
    manager.values = {"key:1": b"same"}
    secrets.load(both := environ | {"SECRETS": "A=key:1,B=key:1"})
    assert both["A"] == both["B"] == "same"


def test_secrets_are_read_at_once(manager: SecretManager, environ: dict[str, str]) -> None:
    manager.values = {f"slow:{version}": b"x" for version in range(1, 9)}
    environ["SECRETS"] = ",".join(f"V{version}=slow:{version}" for version in range(1, 9))
    started = time.monotonic()
    secrets.load(environ)
    assert 0.3 <= time.monotonic() - started < 8 * 0.3 / 2


def test_a_moments_unavailability_is_tried_again(manager: SecretManager, environ: dict[str, str]) -> None:
    manager.values = {"restarts:1": b"value"}
    environ["SECRETS"] = "A=restarts:1"
    secrets.load(environ)
    assert environ["A"] == "value"


def refused(environ: dict[str, str], deadline: float = 10.0) -> str:
    """The message with which load() refuses, having changed nothing."""
    before = dict(environ)
    with pytest.raises(SecretsUnavailable) as failure:
        secrets.load(environ, deadline)
    assert environ == before
    return str(failure.value)


def test_every_missing_secret_is_named_with_the_command_that_makes_it(
    manager: SecretManager, environ: dict[str, str]
) -> None:
    manager.values = {"present:1": b"hunter2"}
    message = refused(environ | {"SECRETS": "A=present:1,B=absent:4,C=gone:1"})
    assert "projects/my-project/secrets/absent/versions/4 does not exist" in message
    assert "gcloud secrets create absent --project=my-project --data-file=-" in message
    assert "secrets/gone/versions/1" in message
    assert "present" not in message
    assert "hunter2" not in message


def test_a_forbidden_secret_is_named_with_the_role_to_grant(environ: dict[str, str]) -> None:
    message = refused(environ | {"SECRETS": "A=forbidden:1"})
    assert "roles/secretmanager.secretAccessor on forbidden in my-project" in message


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("damaged", b"hunter2", "checksum"),
        ("binary", b"hunter2\xff", "UTF-8"),
        ("nul", b"hunter2\0", "NUL"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_without_showing_it(
    manager: SecretManager, environ: dict[str, str], name: str, value: bytes, why: str
) -> None:
    manager.values = {f"{name}:1": value}
    message = refused(environ | {"SECRETS": f"A={name}:1"})
    assert f"secrets/{name}/versions/1" in message
    assert why in message
    assert "hunter2" not in message


def test_a_hanging_secret_ends_with_the_deadline(manager: SecretManager, environ: dict[str, str]) -> None:
    manager.values = {"present:1": b"hunter2"}
    started = time.monotonic()
    message = refused(environ | {"SECRETS": "A=hangs:1,B=hangs:2,C=present:1"}, deadline=0.5)
    assert 0.4 < time.monotonic() - started < 3
    assert "secrets/hangs/versions/2 was not answered in time" in message


def test_an_unreachable_secret_manager_ends_with_the_deadline() -> None:
    nowhere = {"SECRET_MANAGER_EMULATOR_HOST": "127.0.0.1:1"}
    message = refused(nowhere | {"GOOGLE_CLOUD_PROJECT": "p", "SECRETS": "A=b:1"}, deadline=0.5)
    assert "secrets/b/versions/1 was not answered in time (ServiceUnavailable)" in message


def test_a_variable_with_two_values_is_refused(manager: SecretManager, environ: dict[str, str]) -> None:
    manager.values = {"db-password:1": b"hunter2"}
    environ["SECRETS"] = "DB_PASSWORD=db-password:1"
    secrets.load(environ)
    secrets.load(environ)  # what a child process does: equal values are fine
    environ["DB_PASSWORD"] = "hunter3"
    with pytest.raises(ImproperlyConfigured, match="DB_PASSWORD is set") as failure:
        secrets.load(environ)
    assert "hunter" not in str(failure.value)


# mysite.settings.production, which reads them.
COMPLETE = {
    "DJANGO_SECRET_KEY": "k" * 60,
    "FIELD_ENCRYPTION_KEYS": "a:" + "A" * 43 + "=",
    "GOOGLE_CLOUD_PROJECT": "p",
}


def production(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the production settings, with nothing else in the environment."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={"DJANGO_SETTINGS_MODULE": "mysite.settings.production", "PATH": os.environ["PATH"], **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def show(setting: str) -> tuple[str, str]:
    return "-c", f"from django.conf import settings; print(settings.{setting})"


def test_production_starts_with_secrets_from_secret_manager(
    manager: SecretManager, environ: dict[str, str]
) -> None:
    manager.values = {"django-secret-key:3": b"from-secret-manager"}
    done = production(*show("SECRET_KEY"), **environ, SECRETS="DJANGO_SECRET_KEY=django-secret-key:3")
    assert (done.stdout, done.stderr) == ("from-secret-manager\n", "")


def test_production_starts_with_everything_in_the_environment() -> None:
    assert production(*show("DEBUG"), **COMPLETE).stdout == "False\n"


def test_production_refuses_a_secret_it_cannot_read(environ: dict[str, str]) -> None:
    done = production(*show("DEBUG"), **environ, SECRETS="DJANGO_SECRET_KEY=absent:1")
    assert done.returncode != 0
    assert "gcloud secrets create absent" in done.stderr


def test_production_refuses_an_empty_key() -> None:
    done = production(*show("DEBUG"), **(COMPLETE | {"DJANGO_SECRET_KEY": ""}))
    assert done.returncode != 0
    assert "DJANGO_SECRET_KEY is empty" in done.stderr


def test_production_refuses_placeholders_on_a_server() -> None:
    done = production(*show("DEBUG"), **COMPLETE, BUILD_MODE="1", GAE_ENV="standard")
    assert done.returncode != 0
    assert "BUILD_MODE=1 is for builds" in done.stderr


def test_a_build_collects_static_files_without_any_secret() -> None:
    done = production("manage.py", "collectstatic", "--dry-run", "--noinput", BUILD_MODE="1")
    assert done.returncode == 0, done.stderr
    assert "static files" in done.stdout


def test_production_logs_structured_lines() -> None:
    code = "import django, logging; django.setup(); logging.getLogger('shop').info('3 orders')"
    assert '"message": "3 orders"' in production("-c", code, **COMPLETE).stdout
