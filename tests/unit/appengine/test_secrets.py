import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.appengine import secrets


def test_without_secrets_nothing_happens() -> None:
    environ = {"DB_PASSWORD": "mine"}
    secrets.load(environ)
    assert environ == {"DB_PASSWORD": "mine"}


def test_without_secrets_the_client_is_not_imported() -> None:
    code = "import os, sys; from apps.appengine import secrets; secrets.load(os.environ); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={}, capture_output=True, text=True, check=True)
    assert "apps.appengine.secrets" in done.stdout
    assert "google.cloud.secretmanager" not in done.stdout
    assert "grpc" not in done.stdout


def test_each_entry_names_a_variable_a_secret_and_its_version() -> None:
    assert secrets.parse(" DJANGO_SECRET_KEY=django-secret-key:3, DB_PASSWORD=db_password:12 ,", "p") == {
        "DJANGO_SECRET_KEY": "projects/p/secrets/django-secret-key/versions/3",
        "DB_PASSWORD": "projects/p/secrets/db_password/versions/12",
    }


def test_latest_is_refused_with_the_reason() -> None:
    with pytest.raises(ImproperlyConfigured, match="latest db-password"):
        secrets.load({"SECRETS": "DB_PASSWORD=db-password:latest", "GOOGLE_CLOUD_PROJECT": "p"})


@pytest.mark.parametrize(
    "entry", ["hunter2", "DB_PASSWORD=hunter2", "DB_PASSWORD=hunter2:0", "hunter2:1", "A=hunter2:1:2"]
)
def test_a_malformed_entry_is_refused_without_repeating_it(entry: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="entry 2 is not of the form") as refused:
        secrets.load({"SECRETS": f"A=b:1,{entry}", "GOOGLE_CLOUD_PROJECT": "p"})
    assert "hunter2" not in str(refused.value)


def test_secrets_of_no_project_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="GOOGLE_CLOUD_PROJECT"):
        secrets.load({"SECRETS": "DB_PASSWORD=db-password:1"})


def test_a_build_gets_placeholders_for_what_is_not_set_and_calls_nothing() -> None:
    environ = {"BUILD_MODE": "1", "SECRETS": "DB_PASSWORD=db-password:1,TOKEN=token:2", "TOKEN": "given"}
    secrets.load(environ)
    assert environ["DB_PASSWORD"] == environ["DJANGO_SECRET_KEY"] == secrets.PLACEHOLDER
    assert environ["TOKEN"] == "given"


@pytest.mark.parametrize("server", ["GAE_ENV", "K_SERVICE"])
def test_a_server_refuses_to_run_with_placeholders(server: str) -> None:
    environ = {"BUILD_MODE": "1", "SECRETS": "DB_PASSWORD=db-password:1", server: "standard"}
    with pytest.raises(ImproperlyConfigured, match="BUILD_MODE=1 is for builds"):
        secrets.load(environ)
    assert "DB_PASSWORD" not in environ
