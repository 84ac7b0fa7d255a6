"""The database password is rotated by the statements of docs/decisions/0023-production-settings.md."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from tests.functional import production as deployment
from tests.functional.production import GOOGLE, ROOT, Browser, Production
from tests.with_services import DB_PASSWORD, ServiceMissing

PAGE = (ROOT / "docs/decisions/0023-production-settings.md").read_text()
SHARE, BECOME_OWNER, ADMIT, ACT_AS_OWNER = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
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


def run(production: Production, user: str, password: str, statements: str) -> None:
    """As somebody types them, over the socket, who has nothing but that user's password."""
    folder, instance = (production.environment[n] for n in ("CLOUD_SQL_SOCKETS", "INSTANCE_CONNECTION_NAME"))
    place = {"host": f"{folder}/{instance}", "port": production.environment["DB_PORT"], "dbname": "app"}
    with psycopg.connect(**place, user=user, password=password, autocommit=True) as connection:
        for statement in filter(None, map(str.strip, statements.split(";"))):
            connection.execute(statement)


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
    run(production, "postgres", DB_PASSWORD, SHARE)
    run(production, "app", DB_PASSWORD, BECOME_OWNER)
    assert owners(production) == {"owners"}
    assert somebody.is_signed_in(), "the site runs on while its tables change hands"

    with deployment.google(production.environment["DB_PORT"], "app") as cursor:
        deployment.create_user(cursor, "app-2", SECOND)
    run(production, "postgres", DB_PASSWORD, ADMIT)
    run(production, "app-2", SECOND, ACT_AS_OWNER)

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
