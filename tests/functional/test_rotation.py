"""The database's password is rotated by the commands of docs/operations.md, with two users valid at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import with_services
from tests.functional.runbook import blocks
from tests.functional.system import ROOT

ONCE, _, NEW_USER = blocks("The database's password")
# `gcloud sql users create`, and the users that are there from the beginning.
MAKE_USER = 'CREATE ROLE "{}" LOGIN CREATEDB CREATEROLE IN ROLE cloudsqlsuperuser'


@pytest.fixture
def shell() -> Iterator[dict[str, str]]:
    """A database as Cloud SQL makes it: `app` is no superuser, and owns neither it nor its schema."""
    try:
        program = with_services.find("postgresql").resolve()
    except with_services.ServiceMissing as missing:
        pytest.skip(str(missing))
    with with_services.postgresql("first") as variables:
        environment = {
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PGHOST": variables["DB_HOST"],
            "PGPORT": variables["DB_PORT"],
        }
        sql(environment, "first", "postgres", "CREATE ROLE cloudsqlsuperuser CREATEDB CREATEROLE")
        for user in ("postgres", "app"):
            sql(environment, "first", "postgres", MAKE_USER.format(user))
        sql(environment, "first", "postgres", "CREATE DATABASE app OWNER cloudsqlsuperuser")
        yield environment


def sql(shell: dict[str, str], user: str, database: str, statement: str) -> str:
    """What the statement prints. Raises AssertionError with what PostgreSQL says against it."""
    return run(
        shell | {"PGUSER": user},
        ["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement],
    )


def run(environment: dict[str, str], command: list[str], folder: Path = ROOT) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout.strip()


def migrate(shell: dict[str, str], user: str) -> None:
    settings = {
        "DJANGO_SETTINGS_MODULE": "mysite.settings.test",
        "DB_HOST": shell["PGHOST"],
        "DB_PORT": shell["PGPORT"],
        "DB_NAME": "app",
        "DB_USER": user,
        "DB_SSLMODE": "disable",
    }
    run(shell | settings, [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity", "0"])


def test_two_users_work_at_once_and_whatever_one_makes_the_other_may_change(shell: dict[str, str]) -> None:
    migrate(shell, "app")
    run(shell, ["bash", "-euc", ONCE])
    sql(shell, "first", "app", MAKE_USER.format("app-2"))
    run(shell, ["bash", "-euc", NEW_USER.partition("\n")[2]])

    # What Django made before the rotation, and what a migration makes after it, by either of them.
    for user, other in (("app", "app-2"), ("app-2", "app")):
        migrate(shell, user)
        assert sql(shell, user, "app", "SELECT count(*) FROM accounts_user") == "0"
        sql(shell, user, "app", "ALTER TABLE accounts_user ADD COLUMN note text; CREATE TABLE newer (id int)")
        sql(shell, other, "app", "ALTER TABLE newer ADD COLUMN more int; INSERT INTO newer VALUES (1)")
        sql(shell, other, "app", "DROP TABLE newer; ALTER TABLE accounts_user DROP COLUMN note")
        assert (
            sql(shell, user, "app", "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
            == "owners"
        )


def test_a_damaged_database_is_put_aside_while_it_is_in_use(shell: dict[str, str]) -> None:
    aside = next(text for text in blocks("Restore SQL in Google's cloud") if "ALLOW_CONNECTIONS" in text)
    as_app = shell | {"PGUSER": "app"}
    sql(shell, "app", "app", "CREATE TABLE kept (id int)")
    with subprocess.Popen(
        ["psql", "-X", "-d", "app"],
        env=as_app,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as visitor:
        assert visitor.stdin
        assert visitor.stdout
        visitor.stdin.write("\\echo connected\n")
        visitor.stdin.flush()
        assert visitor.stdout.readline() == "connected\n"
        run(as_app, ["bash", "-euc", aside])
        visitor.stdin.write("SELECT 1;\n")
        visitor.stdin.close()
    assert visitor.returncode, "whoever was connected is not any more"
    run(as_app, ["createdb", "app"])
    assert (
        sql(shell, "app", "postgres", "SELECT count(*) FROM pg_database WHERE datname = 'app_damaged'") == "1"
    )
    assert sql(shell, "app", "app", "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == "0"
