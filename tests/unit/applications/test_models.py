from base64 import b64encode
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.core.management import CommandError, call_command
from django.db import connection

from apps.applications.models import Endpoint
from apps.applications.routing import Route
from apps.core import snapshots
from apps.core.encryption import DecryptionError

pytestmark = pytest.mark.django_db

NEW_KEY = f"new:{b64encode(b'n' * 32).decode()}"
HEADERS = {"X-Key": "opensesame"}


def dump(path: Path) -> Path:
    call_command("dumpdata", "accounts.organization", "applications", output=str(path), verbosity=0)
    return path


def test_dumped_endpoints_are_plain_and_load_under_another_key(
    add_endpoint: Callable[..., Endpoint], tmp_path: Path, settings: Any
) -> None:
    endpoint = add_endpoint("https://example.com/", headers=HEADERS)
    file = dump(tmp_path / "dump.json")
    assert "opensesame" in file.read_text()
    assert endpoint.signing_secret in file.read_text()
    Endpoint.objects.all().delete()

    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY]
    call_command("loaddata", str(file), verbosity=0)

    loaded = Endpoint.objects.get()
    assert (loaded.signing_secret, loaded.headers) == (endpoint.signing_secret, HEADERS)
    with connection.cursor() as cursor:
        cursor.execute("SELECT signing_secret, headers FROM applications_endpoint")
        assert [text.partition(":")[2][:4] for text in cursor.fetchone()] == ["new:", "new:"]


def test_without_the_key_of_a_row_a_dump_fails(
    add_endpoint: Callable[..., Endpoint], tmp_path: Path, settings: Any
) -> None:
    add_endpoint("https://example.com/", headers=HEADERS)
    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY]
    with pytest.raises(CommandError, match="encrypted with key 'test', which FIELD_ENCRYPTION_KEYS"):
        dump(tmp_path / "dump.json")


def test_the_command_that_rotates_keys_reaches_signing_secrets_and_headers(
    add_endpoint: Callable[..., Endpoint], settings: Any
) -> None:
    endpoint = add_endpoint("https://example.com/", headers=HEADERS)
    [old] = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY, old]
    call_command("rotate_field_keys", stdout=StringIO())
    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY]
    rotated = Endpoint.objects.get()
    assert (rotated.signing_secret, rotated.headers) == (endpoint.signing_secret, HEADERS)
    assert rotated.updated_at == endpoint.updated_at


@pytest.mark.usefixtures("redis")
def test_a_snapshot_under_the_old_key_is_read_until_that_key_is_removed_and_its_time_is_over(
    add_endpoint: Callable[..., Endpoint], route_of: Callable[[], Route], settings: Any
) -> None:
    endpoint = add_endpoint("https://example.com/", headers=HEADERS)
    assert route_of().destinations[0].headers() == HEADERS  # and Redis has a snapshot
    [old] = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY, old]
    said = StringIO()
    call_command("rotate_field_keys", stdout=said)

    assert route_of().destinations[0].headers() == HEADERS
    assert f"{snapshots.SNAPSHOT_S} s have passed (snapshots in Redis)" in said.getvalue()
    settings.FIELD_ENCRYPTION_KEYS = [NEW_KEY]
    with pytest.raises(DecryptionError, match="which FIELD_ENCRYPTION_KEYS does not list"):
        route_of().destinations[0].headers()  # removed too early: a task that meets it comes again

    cache.delete_many([name.removeprefix(":1:") for name in snapshot_keys()])  # what Redis does in time
    assert route_of().destination(endpoint.pk).headers() == HEADERS


def snapshot_keys() -> list[str]:
    client = caches["default"].client.get_client()
    return [name.decode() for name in client.scan_iter(":1:snapshot:*")]
