"""mysite.settings.production, booted as app.yaml says beside everything it talks to."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.functional import production as deployment
from tests.functional.production import HOST, PROJECT, Browser, Production
from tests.with_services import ServiceMissing


@pytest.fixture(scope="module")
def production() -> Iterator[Production]:
    try:
        with deployment.deployed() as running:
            yield running
    except ServiceMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def somebody(production: Production) -> Browser:
    """Who has signed in."""
    browser = Browser(production)
    assert browser.sign_in().status == 302
    assert browser.is_signed_in()
    return browser


def django_keys(version: int, other: int) -> str:
    """SECRETS of app.yaml with another version of Django's key, and a fallback unless that is 0."""
    key = f"DJANGO_SECRET_KEY=django-secret-key:{version}"
    fallback = f",DJANGO_SECRET_KEY_FALLBACKS=django-secret-key:{other}" if other else ""
    pinned = deployment.VARIABLES["SECRETS"]
    return pinned.replace("DJANGO_SECRET_KEY=django-secret-key:1", key + fallback)


def test_every_store_answers(production: Production) -> None:
    answer = production.ask("/readyz")
    assert answer.status == 200, answer.body
    assert re.findall(r'"(\w+)": {"ok": true', answer.body) == ["sql", "datastore", "cache", "queue"]


def test_pages_are_there_over_https_only(production: Production) -> None:
    answer = production.ask("/sign-in?next=/", scheme="http")
    assert (answer.status, answer.headers["location"]) == (301, f"https://{HOST}/sign-in?next=/")
    assert production.ask("/sign-in").status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/_ah/warmup", 200),
        ("/_tasks/default/x.y", 403),
        ("/_cron/x", 403),
    ],
)
def test_what_the_platform_asks_is_answered_over_plain_http(
    production: Production, path: str, status: int
) -> None:
    assert production.ask(path, scheme="http").status == status


def test_the_sign_in_page_bears_every_protection(production: Production) -> None:
    answer = production.ask("/sign-in")
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"img-src 'self' https://storage.googleapis.com/{PROJECT}-media/" in policy
    assert "unsafe" not in policy


def test_cookies_are_of_this_host_alone_and_not_for_scripts(production: Production) -> None:
    answer = Browser(production).sign_in()
    session, token = answer.cookies["__Host-sessionid"], answer.cookies["__Host-csrftoken"]
    for cookie in (session, token):
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
        assert cookie["samesite"] == "Lax"
    assert session["httponly"]


@pytest.mark.parametrize("host", ["example.com", "other.ew.r.appspot.com", f"v1-dot-{HOST}"])
def test_an_unknown_host_is_refused(production: Production, host: str) -> None:
    assert production.ask("/sign-in", headers={"Host": host}).status == 400


@pytest.mark.parametrize("host", [f"{PROJECT}.appspot.com", f"v2-dot-{HOST}", f"v2.default.{HOST}"])
def test_the_other_addresses_of_the_version_are_served(production: Production, host: str) -> None:
    assert production.ask("/sign-in", headers={"Host": host}).status == 200


def test_a_form_from_another_site_is_refused(production: Production, somebody: Browser) -> None:
    form = b"csrfmiddlewaretoken=" + somebody.cookies["__Host-csrftoken"].encode()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"__Host-csrftoken={somebody.cookies['__Host-csrftoken']}",
    }
    assert production.ask("/sign-out", form, headers | {"Origin": f"https://{HOST}"}).status == 302
    assert production.ask("/sign-out", form, headers | {"Origin": "https://example.com"}).status == 403


def test_a_form_that_is_too_large_is_refused(production: Production) -> None:
    browser = Browser(production)
    form = {"csrfmiddlewaretoken": browser.form_token("/sign-in"), "username": "x" * 3_000_000}
    assert browser.open("/sign-in", form).status == 400


KEPT = """
from django.contrib.sessions.models import Session
from django.core.cache import cache
from apps.core.sessions import SessionStore
print(Session.objects.filter(pk="{key}").exists(), SessionStore("{key}").cache_key in cache)
"""


def test_a_session_is_in_redis_and_in_sql_and_survives_the_loss_of_redis(
    production: Production, somebody: Browser
) -> None:
    assert production.python(KEPT.format(key=somebody.cookies["__Host-sessionid"])) == "True True"
    production.python("from django.core.cache import cache; cache.clear()")
    assert somebody.is_signed_in()


def test_pages_go_on_while_redis_is_down(production: Production, somebody: Browser) -> None:
    with production.without_redis():
        assert somebody.is_signed_in()
        another = Browser(production)
        assert another.sign_in().status == 302
        assert another.is_signed_in()
        token = (
            another.form_token("/sign-in")
            if not another.is_signed_in()
            else another.cookies["__Host-csrftoken"]
        )
        assert another.open("/sign-out", {"csrfmiddlewaretoken": token}).status == 302
        assert not another.is_signed_in()
        answer = production.ask("/readyz")
        assert (answer.status, '"cache": {"ok": false' in answer.body) == (503, True)
    assert somebody.is_signed_in()
    assert not another.is_signed_in()


def test_who_is_signed_in_stays_so_while_django_s_key_is_rotated(
    production: Production, somebody: Browser
) -> None:
    """Read by all, then signed with, rolled back, signed with again, then the old one is gone."""
    late = Browser(production)
    token = late.form_token("/sign-in")
    try:
        for key, other in ((1, 2), (2, 1)):
            production.restart(SECRETS=django_keys(key, other))
            assert somebody.is_signed_in()
        form = {"username": deployment.EMAIL, "password": deployment.PASSWORD, "csrfmiddlewaretoken": token}
        assert late.open("/sign-in", form).status == 302, "a form that was open when the key changed"
        production.restart(SECRETS=django_keys(1, 2))
        assert late.is_signed_in()
        for keys in ((2, 1), (2, 0)):
            production.restart(SECRETS=django_keys(*keys))
            assert somebody.is_signed_in()
            assert late.is_signed_in()
    finally:
        production.restart()


def test_without_the_fallback_a_new_key_ends_every_session(production: Production, somebody: Browser) -> None:
    production.restart(SECRETS=django_keys(2, 0))
    try:
        assert not somebody.is_signed_in()
    finally:
        production.restart()


SAVED = """
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage as storage
first, second = (storage.save("pictures/a cat.txt", ContentFile(text)) for text in (b"first", b"second"))
print(storage.url(first), storage.url(second))
"""


def test_a_link_to_a_media_file_is_signed_without_a_key_file(production: Production) -> None:
    first, second = production.python(SAVED, **production.identity).split()
    assert [requests.get(link, timeout=30).content for link in (first, second)] == [b"first", b"second"]
    assert f"/{PROJECT}-media/pictures/a%20cat.txt?" in first
    values = {name: value for name, (value,) in parse_qs(urlsplit(second).query).items()}
    assert values["X-Goog-Credential"].startswith(f"web@{PROJECT}.iam.gserviceaccount.com/")
    assert values["X-Goog-Expires"] == "3600"
    signature, signed = bytes.fromhex(values["X-Goog-Signature"]), production.account.signed[-1]
    production.account.key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    assert signed.startswith(b"GOOG4-RSA-SHA256\n")


TIME_LIMITS = """
from django.db import connection
with connection.cursor() as cursor:
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        cursor.execute(f"SHOW {name}")
        print(cursor.fetchone()[0])
"""


def test_statements_of_a_server_end_and_those_of_commands_may_last(production: Production) -> None:
    assert production.python(TIME_LIMITS).split() == ["0", "0"]
    assert production.python(TIME_LIMITS, DB_TIMEOUT="30").split() == ["30s", "30s"]
    assert production.server_python("import os; print(os.environ['DB_TIMEOUT'])") == "30"


@pytest.mark.parametrize("password", ["wrong", ""])
def test_the_socket_asks_for_the_password(production: Production, password: str) -> None:
    folder = (
        f"{production.environment['CLOUD_SQL_SOCKETS']}/{production.environment['INSTANCE_CONNECTION_NAME']}"
    )
    place = {"host": folder, "port": production.environment["DB_PORT"], "user": "app", "dbname": "app"}
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**place, password=password)
