from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.applications.models import Endpoint

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
