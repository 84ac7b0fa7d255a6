"""Secrets over the real gRPC protocol, from a Secret Manager that lives in the test."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.core.exceptions import ImproperlyConfigured

from apps.appengine import app_yaml, secrets
from apps.appengine.local.preflight import free_port
from apps.appengine.secrets import SecretsUnavailable
from tests.secret_manager import SecretManager, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manager() -> SecretManager:
    return SecretManager()


@pytest.fixture
def environ(manager: SecretManager) -> Iterator[dict[str, str]]:
    """An environment that points at the running Secret Manager."""
    with serving(manager) as address:
        yield {"GOOGLE_CLOUD_PROJECT": "my-project", "SECRET_MANAGER_EMULATOR_HOST": address}


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
KEY = "0123456789" * 6
FIELD_KEYS = "a:" + "A" * 43 + "="
COMPLETE = {"DJANGO_SECRET_KEY": KEY, "FIELD_ENCRYPTION_KEYS": FIELD_KEYS, "GOOGLE_CLOUD_PROJECT": "p"}
CLOUD_SQL = {"INSTANCE_CONNECTION_NAME": "p:region:main", "DB_NAME": "app", "DB_USER": "app"}
POSTGRESQL = {"DB_HOST": "10.0.0.3", "DB_NAME": "app", "DB_USER": "app", "DB_PASSWORD": "hunter2"}


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


def sentence(**environ: str) -> str:
    """What `manage.py migrate` says and nothing else, having refused to start."""
    done = production("manage.py", "migrate", **environ)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


def test_production_starts_with_secrets_from_secret_manager(
    manager: SecretManager, environ: dict[str, str]
) -> None:
    manager.values = {"django-secret-key:3": KEY.encode(), "field-encryption-keys:1": FIELD_KEYS.encode()}
    named = "DJANGO_SECRET_KEY=django-secret-key:3,FIELD_ENCRYPTION_KEYS=field-encryption-keys:1"
    done = production(*show("SECRET_KEY"), **environ, SECRETS=named)
    assert (done.stdout, done.stderr) == (f"{KEY}\n", "")


def test_production_starts_with_everything_in_the_environment() -> None:
    assert production(*show("DEBUG"), **COMPLETE).stdout == "False\n"


def test_a_secret_is_taken_as_it_is_stored(manager: SecretManager, environ: dict[str, str]) -> None:
    """A first "$" makes no other variable of it, a comma no second key, and nothing is stripped."""
    manager.values = {"django-secret-key:1": (old := f"$HOME,{KEY}\n").encode(), "db-password:1": b"$HOME"}
    named = "DJANGO_SECRET_KEY_FALLBACKS=django-secret-key:1,DB_PASSWORD=db-password:1"
    given = COMPLETE | CLOUD_SQL | environ | {"SECRETS": named}
    setting = "SECRET_KEY_FALLBACKS + [settings.DATABASES['default']['PASSWORD']]"
    assert production(*show(setting), **given).stdout == f"{[old, '$HOME']}\n"


def test_a_missing_secret_stops_the_start(environ: dict[str, str]) -> None:
    said = sentence(**environ, SECRETS="DJANGO_SECRET_KEY=absent:1")
    assert "projects/my-project/secrets/absent/versions/1 does not exist" in said
    assert "gcloud secrets create absent" in said


@pytest.mark.parametrize("value", [b"", b" \n"], ids=["empty", "white space"])
def test_an_empty_secret_stops_the_start(
    manager: SecretManager, environ: dict[str, str], value: bytes
) -> None:
    manager.values = {"db-password:1": value}
    said = sentence(**COMPLETE | environ, SECRETS="DB_PASSWORD=db-password:1")
    assert (
        said
        == "projects/my-project/secrets/db-password/versions/1 is empty: add a version that holds the value"
    )


def test_an_unreadable_secret_stops_the_start(environ: dict[str, str]) -> None:
    said = sentence(**environ, SECRETS="DJANGO_SECRET_KEY=forbidden:1")
    assert "projects/my-project/secrets/forbidden/versions/1 may not be read" in said


def test_a_secret_that_is_no_text_stops_the_start(manager: SecretManager, environ: dict[str, str]) -> None:
    manager.values = {"binary:1": b"hunter2\xff"}
    said = sentence(**environ, SECRETS="DJANGO_SECRET_KEY=binary:1")
    assert said == "projects/my-project/secrets/binary/versions/1 is not UTF-8 text"


@pytest.mark.parametrize("name", ["DJANGO_SECRET_KEY", "FIELD_ENCRYPTION_KEYS"])
@pytest.mark.parametrize("value", [None, "", " "], ids=["absent", "empty", "white space"])
def test_a_secret_that_nothing_names_stops_the_start(name: str, value: str | None) -> None:
    environ = COMPLETE | {name: value or ""}
    if value is None:
        del environ[name]
    assert sentence(**environ).startswith(f"{name} is empty: name it in SECRETS")


@pytest.mark.parametrize("place", [CLOUD_SQL, POSTGRESQL], ids=["Cloud SQL", "PostgreSQL"])
def test_a_database_without_a_password_stops_the_start(place: dict[str, str]) -> None:
    said = sentence(**COMPLETE | place | {"DB_PASSWORD": ""})
    assert said.startswith("DB_PASSWORD is empty: name it in SECRETS")


def test_a_database_without_a_user_stops_the_start() -> None:
    assert "DB_USER" in sentence(**COMPLETE, INSTANCE_CONNECTION_NAME="p:region:main", DB_NAME="app")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("DJANGO_SECRET_KEY", "hunter2"),
        ("DJANGO_SECRET_KEY", "k" * 60),
        ("DJANGO_SECRET_KEY", "django-insecure-" + KEY),
        ("DJANGO_SECRET_KEY_FALLBACKS", "hunter2"),
    ],
)
def test_a_key_that_can_be_guessed_stops_the_start_and_is_not_shown(name: str, key: str) -> None:
    said = sentence(**COMPLETE | {name: key})
    assert said.startswith(f"{name} can be guessed")
    assert key not in said


@pytest.mark.parametrize(
    "keys", ["hunter2", "a:hunter2", f"{FIELD_KEYS},b:hunter2", f"{FIELD_KEYS},{FIELD_KEYS}"]
)
def test_malformed_field_keys_stop_the_start_and_are_not_shown(keys: str) -> None:
    said = sentence(**COMPLETE | {"FIELD_ENCRYPTION_KEYS": keys})
    assert said.startswith("FIELD_ENCRYPTION_KEYS: ")
    assert "hunter2" not in said


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_an_unencrypted_connection_to_another_machine_stops_the_start(mode: str) -> None:
    said = sentence(**COMPLETE | POSTGRESQL, DB_SSLMODE=mode)
    assert said.startswith(f"DB_SSLMODE is {mode!r}, with which a connection to 10.0.0.3 may be unencrypted")


@pytest.mark.parametrize(
    ("place", "mode"),
    [
        (CLOUD_SQL, "None"),
        (POSTGRESQL | {"DB_HOST": "/var/run/postgresql"}, "None"),
        (POSTGRESQL | {"DB_HOST": "127.0.0.1"}, "None"),  # the Cloud SQL Auth Proxy, which encrypts itself
        (POSTGRESQL, "require"),
        (POSTGRESQL | {"DB_SSLMODE": "verify-ca"}, "verify-ca"),
    ],
)
def test_another_machine_s_database_is_asked_over_tls_and_a_socket_is_not(
    place: dict[str, str], mode: str
) -> None:
    environ = COMPLETE | {"DB_PASSWORD": "hunter2"} | place
    done = production(*show("DATABASES['default']['OPTIONS'].get('sslmode')"), **environ)
    assert done.stdout == f"{mode}\n", done.stderr


@pytest.mark.parametrize(
    "domain", ["", "p.ew.r.appspot.com.example.com", "other.ew.r.appspot.com", ".r.appspot.com"]
)
def test_app_engine_without_a_domain_of_the_project_stops_the_start(domain: str) -> None:
    said = sentence(**COMPLETE, GAE_ENV="standard", APPSPOT_DOMAIN=domain)
    assert said.startswith(f"APPSPOT_DOMAIN is {domain!r}")
    assert "gcloud app describe --project=p" in said


def test_placeholders_on_a_server_stop_the_start() -> None:
    assert "BUILD_MODE=1 is for builds" in sentence(**COMPLETE, BUILD_MODE="1", GAE_ENV="standard")


def test_gunicorn_gives_up_with_the_same_sentence_and_no_traceback() -> None:
    entrypoint = app_yaml.read(ROOT / "app.yaml").entrypoint
    given = COMPLETE | {"DJANGO_SECRET_KEY": ""}
    done = production("-m", *entrypoint, "--bind", f"127.0.0.1:{free_port()}", **given)
    said = done.stdout + done.stderr
    assert done.returncode == 3
    assert "\nDJANGO_SECRET_KEY is empty: name it in SECRETS" in said
    assert "Traceback" not in said
    assert "Worker failed to boot" in said.splitlines()[-1]  # gunicorn's own last word


AFTER_THE_SETTINGS = """
import django
from django.core.exceptions import ImproperlyConfigured
from apps.appengine import start
with start.in_one_sentence():
    django.setup()
    raise ImproperlyConfigured("a bug")
"""


def test_an_error_after_the_settings_keeps_its_traceback() -> None:
    done = production("-c", AFTER_THE_SETTINGS, **COMPLETE)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_build_collects_static_files_without_any_secret() -> None:
    done = production("manage.py", "collectstatic", "--dry-run", "--noinput", BUILD_MODE="1")
    assert done.returncode == 0, done.stderr
    assert "static files" in done.stdout


def test_a_build_takes_the_variables_of_app_yaml_as_they_are() -> None:
    variables = yaml.safe_load((ROOT / "app.yaml").read_text())["env_variables"]
    given = variables | {"BUILD_MODE": "1", "GOOGLE_CLOUD_PROJECT": "my-project"}
    done = production("manage.py", "collectstatic", "--dry-run", "--noinput", **given)
    assert done.returncode == 0, done.stderr


def test_production_logs_structured_lines() -> None:
    code = "import django, logging; django.setup(); logging.getLogger('shop').info('3 orders')"
    assert '"message": "3 orders"' in production("-c", code, **COMPLETE).stdout
