"""The database's password is rotated by the commands of docs/operations.md, under a site that runs on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import with_services
from tests.functional import production as deployment
from tests.functional.production import GOOGLE, Browser, Production
from tests.functional.runbook import blocks
from tests.with_services import DB_PASSWORD, ServiceMissing

ONCE, _, NEW_USER = blocks("The database's password")
NEW_USER = NEW_USER.partition("\n")[2]  # without `gcloud sql users create`, which the test does itself
SECOND = deployment.SECRETS["db-password:2"].decode()
ROTATED = {
    "DB_USER": "app-2",
    "SECRETS": deployment.VARIABLES["SECRETS"].replace("db-password:1", "db-password:2"),
}
MAKE_TABLE = """
from django.db import connection, models
class Made(models.Model):
    class Meta:
        app_label = "core"
        db_table = "{table}"
with connection.schema_editor() as editor:
    editor.create_model(Made)
"""


@pytest.fixture
def production() -> Iterator[Production]:
    try:
        with deployment.deployed() as running:
            yield running
    except ServiceMissing as missing:
        pytest.skip(str(missing))


def type_in(production: Production, commands: str) -> None:
    """As somebody types them over the socket, with the passwords of the three users and no other right."""
    passwords = Path(production.environment["HOME"], "pgpass")
    users = {"postgres": DB_PASSWORD, "app": DB_PASSWORD, "app-2": SECOND}
    passwords.write_text("".join(f"*:*:*:{user}:{password}\n" for user, password in users.items()))
    passwords.chmod(0o600)
    folder, instance = (production.environment[n] for n in ("CLOUD_SQL_SOCKETS", "INSTANCE_CONNECTION_NAME"))
    program = with_services.find("postgresql").resolve()
    environment = {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": f"{folder}/{instance}",
        "PGPORT": production.environment["DB_PORT"],
        "PGPASSFILE": str(passwords),
    }
    command = ["bash", "-euc", commands]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def owners(production: Production) -> set[str]:
    """Who owns tables, sequences and types in the site's schema."""
    query = """
        SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION SELECT pg_get_userbyid(typowner) FROM pg_type WHERE typnamespace = 'public'::regnamespace
    """
    with deployment.google(production.environment["DB_PORT"], "app") as cursor:
        return {row[0] for row in cursor.execute(query).fetchall()}


def test_a_second_user_takes_over_and_the_first_can_be_deleted(production: Production) -> None:
    somebody = Browser(production)
    assert somebody.sign_in().status == 302
    assert owners(production) == {"app"}
    type_in(production, ONCE)
    assert owners(production) == {"owners"}
    assert somebody.is_signed_in(), "the site runs on while its tables change hands"

    with deployment.google(production.environment["DB_PORT"], "app") as cursor:
        deployment.create_user(cursor, "app-2", SECOND)
    type_in(production, NEW_USER)

    # Both are valid at once, and what either makes belongs to the role.
    production.python(MAKE_TABLE.format(table="made_by_the_first"))
    production.python(MAKE_TABLE.format(table="made_by_the_second"), **ROTATED)
    assert owners(production) == {"owners"}
    production.manage("migrate", "accounts", "zero", "--plan", **ROTATED)
    assert somebody.is_signed_in()

    production.restart(**ROTATED)
    with deployment.google(production.environment["DB_PORT"], "app") as cursor:
        cursor.execute("DROP ROLE app")
        cursor.execute(
            f"SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname NOT IN ('postgres', '{GOOGLE}')"
        )
        assert cursor.fetchall() == [("app-2",)]
    assert somebody.is_signed_in()
    production.manage("migrate", "sessions", "zero", **ROTATED)
    production.manage("migrate", **ROTATED)
    assert owners(production) == {"owners"}
