import base64
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.db.models import Value
from django.test.utils import CaptureQueriesContext

from apps.core import encryption, rotation
from apps.core.encryption import EncryptedJSONField, EncryptedTextField

SECRET = "whsec_päss"


def key(key_id: str) -> str:
    return f"{key_id}:{base64.b64encode(key_id.encode() * 16).decode()}"


OLD, NEW, LOST = key("k1"), key("k2"), key("k0")


class Parcel(models.Model):  # noqa: DJ008  nobody reads it
    """A table of this test's own."""

    note = EncryptedTextField()
    extra = EncryptedJSONField(null=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "post"


NOTE = rotation.Column(Parcel, Parcel._meta.get_field("note"))
EXTRA = rotation.Column(Parcel, Parcel._meta.get_field("extra"))


@pytest.fixture(autouse=True)
def _parcels(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table, with the old key first. SQLite changes no schema inside a transaction."""
    settings.FIELD_ENCRYPTION_KEYS = [OLD, NEW]
    monkeypatch.setattr(rotation, "columns", lambda: [EXTRA, NOTE])
    with connection.schema_editor() as editor:
        editor.create_model(Parcel)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Parcel)


@pytest.fixture
def new_first(settings: Any) -> Callable[[], None]:
    """The second release of a rotation: both keys, the new one writes."""

    def switch() -> None:
        settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]

    return switch


def stored(column: str = "note") -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM post_parcel ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def keys_of(column: str = "note") -> list[str]:
    return [text and rotation.key_of(text) for text in stored(column)]


def run(*arguments: str) -> str:
    said = StringIO()
    call_command("rotate_field_keys", *arguments, stdout=said, stderr=said)
    return said.getvalue()


def test_every_row_is_written_again_under_the_first_key_and_says_the_same(
    new_first: Callable[[], None], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    Parcel.objects.bulk_create(
        Parcel(note=f"{SECRET} {n}", extra={"n": n} if n % 2 else None) for n in range(5)
    )
    before = list(Parcel.objects.order_by("id").values("note", "extra", "changed_at"))
    new_first()

    said = run()

    assert keys_of() == ["k2"] * 5
    assert keys_of("extra") == [None, "k2", None, "k2", None]
    assert "post.parcel.note: 5 under 'k2'" in said
    assert "post.parcel.extra: 2 under 'k2'" in said
    assert [line for line in said.splitlines() if "written" in line and "note" in line] == [
        f"post.parcel.note: {count} written, 0 changed by others meanwhile" for count in (2, 4, 5)
    ]
    assert "No row uses key 'k1'." in said
    assert SECRET not in said
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert list(Parcel.objects.order_by("id").values("note", "extra", "changed_at")) == before


def test_a_second_run_writes_nothing(new_first: Callable[[], None]) -> None:
    Parcel.objects.create(note=SECRET)
    new_first()
    run()
    before = stored()
    said = run()
    assert stored() == before
    assert "written" not in said


def test_an_interrupted_run_goes_on_with_what_is_left(
    new_first: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    Parcel.objects.bulk_create(Parcel(note=SECRET) for _ in range(5))
    new_first()
    next(rotation.rotate(NOTE))
    assert keys_of() == ["k2", "k2", "k1", "k1", "k1"]
    before = stored()
    run()
    assert keys_of() == ["k2"] * 5
    assert stored()[:2] == before[:2]


def test_a_dry_run_says_which_keys_are_in_use_and_writes_nothing(new_first: Callable[[], None]) -> None:
    Parcel.objects.bulk_create([Parcel(note=SECRET), Parcel(note=SECRET, extra=1)])
    new_first()
    Parcel.objects.create(note=SECRET)
    before = stored()
    said = run("--dry-run")
    assert stored() == before
    assert "post.parcel.note: 2 under 'k1', 1 under 'k2'" in said
    assert "post.parcel.extra: 1 under 'k1'" in said
    assert "may be removed" not in said


@pytest.mark.parametrize("writes_under", ["k1", "k2"])
def test_what_somebody_writes_between_read_and_write_is_not_overwritten(
    new_first: Callable[[], None], monkeypatch: pytest.MonkeyPatch, settings: Any, writes_under: str
) -> None:
    parcel = Parcel.objects.create(note="before")
    new_first()
    encrypt = encryption.encrypt

    def encrypt_late(text: str, *, context: str) -> str:
        """Another process, perhaps of the release before, saves the row in this very moment."""
        monkeypatch.setattr(encryption, "encrypt", encrypt)
        settings.FIELD_ENCRYPTION_KEYS = [OLD, NEW] if writes_under == "k1" else [NEW, OLD]
        Parcel.objects.filter(pk=parcel.pk).update(note="changed")
        settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
        return encrypt(text, context=context)

    monkeypatch.setattr(encryption, "encrypt", encrypt_late)
    if writes_under == "k1":
        with pytest.raises(CommandError, match=r"1 values are not under key 'k2'\. Run this again"):
            run()
        assert keys_of() == ["k1"]
        assert "1 written, 0 changed by others" in run()
    else:
        assert "0 written, 1 changed by others" in run()
    assert keys_of() == ["k2"]
    assert Parcel.objects.get().note == "changed"


def test_a_row_that_cannot_be_read_stays_as_it_is_and_the_others_are_written(
    new_first: Callable[[], None], settings: Any
) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [LOST]
    Parcel.objects.create(note=SECRET)
    settings.FIELD_ENCRYPTION_KEYS = [OLD, NEW]
    Parcel.objects.bulk_create([Parcel(note=SECRET), Parcel(note=SECRET)])
    damaged = Value("v1:k1:AAAA", models.TextField())
    Parcel.objects.filter(pk=Parcel.objects.order_by("-id").values("id")[:1]).update(note=damaged)
    new_first()
    before, said = stored(), StringIO()

    with pytest.raises(CommandError, match="2 values are not under key 'k2'"):
        call_command("rotate_field_keys", stdout=said, stderr=said)

    assert keys_of() == ["k0", "k2", "k1"]
    assert (stored()[0], stored()[2]) == (before[0], before[2])
    assert "left as it is" in said.getvalue()
    assert "encrypted with key 'k0', which FIELD_ENCRYPTION_KEYS does not list" in said.getvalue()
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD, LOST]
    assert Parcel.objects.order_by("id").values_list("note", flat=True)[0] == SECRET


def test_each_row_is_compared_and_set_in_one_statement(new_first: Callable[[], None]) -> None:
    Parcel.objects.create(note=SECRET)
    [ciphertext] = stored()
    new_first()
    with CaptureQueriesContext(
        connection,
    ) as seen:
        list(rotation.rotate(NOTE))
    [update] = [one["sql"] for one in seen.captured_queries if one["sql"].startswith("UPDATE")]
    assert ciphertext in update.partition("WHERE")[2]
    assert "SELECT" not in update


def test_without_a_key_the_command_says_so(settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = []
    with pytest.raises(CommandError, match="FIELD_ENCRYPTION_KEYS is empty"):
        run()
