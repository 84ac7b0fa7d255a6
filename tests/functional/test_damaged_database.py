"""A damaged database is put aside by the commands of docs/operations.md."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import with_services
from tests.functional.runbook import blocks
from tests.functional.system import ROOT

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
