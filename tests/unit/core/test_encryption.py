import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, models
from django.db.migrations.writer import MigrationWriter

from apps.core import encryption
from apps.core.encryption import DecryptionError, EncryptedJSONField, EncryptedTextField, decrypt, encrypt

CONTEXT = "shop.order.note"
SECRET = "whsec_päss"


def key(key_id: str, byte: bytes = b"k") -> str:
    return f"{key_id}:{base64.b64encode(byte * 32).decode()}"


@pytest.fixture(autouse=True)
def one_key(settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [key("k1")]


def test_what_was_encrypted_comes_back() -> None:
    for text in (SECRET, "", "x" * 100_000):
        assert decrypt(encrypt(text, context=CONTEXT), context=CONTEXT) == text


def test_a_ciphertext_names_version_and_key_and_never_repeats() -> None:
    first, second = encrypt(SECRET, context=CONTEXT), encrypt(SECRET, context=CONTEXT)
    version, key_id, sealed = first.split(":")
    assert (version, key_id) == ("v1", "k1")
    assert len(base64.urlsafe_b64decode(sealed)) == 12 + len(SECRET.encode()) + 16
    assert first != second
    assert SECRET not in first


def test_keys_rotate_the_first_writes_and_all_read(settings: Any) -> None:
    old = encrypt(SECRET, context=CONTEXT)
    settings.FIELD_ENCRYPTION_KEYS = [key("k2", b"n"), key("k1")]
    new = encrypt(SECRET, context=CONTEXT)
    assert new.startswith("v1:k2:")
    assert decrypt(old, context=CONTEXT) == decrypt(new, context=CONTEXT) == SECRET


def refused(ciphertext: str, context: str = CONTEXT) -> str:
    with pytest.raises(DecryptionError) as failure:
        decrypt(ciphertext, context=context)
    assert SECRET not in str(failure.value)
    return str(failure.value)


def test_a_key_that_is_gone_is_named_with_the_setting(settings: Any) -> None:
    ciphertext = encrypt(SECRET, context=CONTEXT)
    settings.FIELD_ENCRYPTION_KEYS = [key("k2")]
    assert "'k1', which FIELD_ENCRYPTION_KEYS does not list" in refused(ciphertext)


def test_a_ciphertext_moved_to_another_column_does_not_decrypt() -> None:
    assert "shop.order.token: does not decrypt" in refused(
        encrypt(SECRET, context=CONTEXT), "shop.order.token"
    )


def test_another_key_under_the_same_id_does_not_decrypt(settings: Any) -> None:
    ciphertext = encrypt(SECRET, context=CONTEXT)
    settings.FIELD_ENCRYPTION_KEYS = [key("k1", b"x")]
    assert "does not decrypt with key 'k1'" in refused(ciphertext)


def test_an_altered_ciphertext_does_not_decrypt() -> None:
    ciphertext = encrypt(SECRET, context=CONTEXT)
    middle = len(ciphertext) // 2
    swapped = "A" if ciphertext[middle] != "A" else "B"
    refused(ciphertext[:middle] + swapped + ciphertext[middle + 1 :])
    for cut in ("v1:k1:", "v1:k1:AAAA", "v1:k1:A", ciphertext[:-4]):
        assert "does not decrypt" in refused(cut)


@pytest.mark.parametrize("text", ["", "plain", "v2:k1:AAAA", "v1:k1"])
def test_what_was_never_encrypted_is_refused(text: str) -> None:
    assert "not a text encrypted here" in refused(text)


MALFORMED = ["hunter2", "k1:hunter2", f"k1:{'A' * 40}", f"k 1:{'A' * 43}=", f"k1:{'A' * 42}=="]


@pytest.mark.parametrize("entry", MALFORMED)
def test_a_malformed_key_is_refused_by_position_and_not_shown(settings: Any, entry: str) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [key("k0"), entry]
    with pytest.raises(ImproperlyConfigured, match="entry 2") as failure:
        encrypt(SECRET, context=CONTEXT)
    assert entry not in str(failure.value)


def test_an_id_that_repeats_is_refused(settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [key("k1"), key("k1", b"x")]
    with pytest.raises(ImproperlyConfigured, match="its id repeats"):
        encrypt(SECRET, context=CONTEXT)


def test_without_a_key_nothing_is_encrypted(settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = []
    with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS is empty"):
        encrypt(SECRET, context=CONTEXT)


class Order(models.Model):  # noqa: DJ008  nobody reads it
    """A table of this test's own."""

    note = EncryptedTextField()
    hint = EncryptedTextField(null=True)
    extra = EncryptedJSONField(null=True)

    class Meta:
        app_label = "shop"


@pytest.fixture
def orders(transactional_db: None) -> Iterator[None]:
    """The table. SQLite changes no schema inside a transaction."""
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Order)


def stored(column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM shop_order")
        return cursor.fetchone()[0]


@pytest.mark.usefixtures("orders")
def test_a_field_is_encrypted_in_the_database_and_plain_on_the_instance() -> None:
    order = Order.objects.create(note=SECRET)
    assert order.note == SECRET
    assert stored("note").startswith("v1:k1:")
    assert stored("hint") is None
    found = Order.objects.get(hint__isnull=True)
    assert (found.note, found.hint) == (SECRET, None)
    assert list(Order.objects.values_list("note", flat=True)) == [SECRET]


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("value", [{}, {"X-Key": SECRET}, [1, None, "\u2028"], "text", 0, False])
def test_a_json_field_is_encrypted_in_the_database_and_a_value_on_the_instance(value: Any) -> None:
    Order.objects.create(note="", extra=value)
    assert stored("extra").startswith("v1:k1:")
    assert json.loads(decrypt(stored("extra"), context="shop.order.extra")) == value
    assert Order.objects.get(extra__isnull=False).extra == value
    assert list(Order.objects.values_list("extra", flat=True)) == [value]


@pytest.mark.usefixtures("orders")
def test_a_json_field_keeps_null_as_null() -> None:
    Order.objects.create(note="")
    assert stored("extra") is None
    assert Order.objects.get(extra__isnull=True).extra is None


@pytest.mark.usefixtures("orders")
def test_dumped_data_is_plain() -> None:
    Order.objects.create(note=SECRET, extra={"X-Key": SECRET})
    dumped = serializers.serialize("json", Order.objects.all())
    assert json.loads(dumped)[0]["fields"] == {"note": SECRET, "hint": None, "extra": {"X-Key": SECRET}}


@pytest.mark.usefixtures("orders")
def test_a_row_whose_key_is_gone_is_not_read_nor_dumped_and_is_whole_once_it_is_back(settings: Any) -> None:
    Order.objects.create(note=SECRET)
    settings.FIELD_ENCRYPTION_KEYS = [key("k2")]
    for read in (Order.objects.get, lambda: serializers.serialize("json", Order.objects.all())):
        with pytest.raises(DecryptionError, match=r"shop\.order\.note: encrypted with key 'k1'"):
            read()
    assert Order.objects.filter(note__isnull=False).update(hint="written") == 1

    settings.FIELD_ENCRYPTION_KEYS = [key("k2"), key("k1")]
    assert (Order.objects.get().note, Order.objects.get().hint) == (SECRET, "written")


@pytest.mark.usefixtures("orders")
def test_every_way_to_write_a_field_encrypts_once() -> None:
    [order] = Order.objects.bulk_create([Order(note="1")])
    for write in (
        order.save,
        lambda: Order.objects.bulk_update([order], ["note"]),
        lambda: Order.objects.update(note="1"),
    ):
        write()
        assert decrypt(stored("note"), context="shop.order.note") == "1"


@pytest.mark.usefixtures("orders")
def test_a_ciphertext_copied_to_another_field_does_not_load() -> None:
    Order.objects.create(note=SECRET)
    Order.objects.update(hint=models.F("note"))
    with pytest.raises(DecryptionError, match=r"shop\.order\.hint: does not decrypt"):
        Order.objects.get()


@pytest.mark.parametrize(
    "lookup", ["note", "note__exact", "note__in", "note__contains", "note__lower__exact"]
)
def test_looking_a_field_up_is_refused(lookup: str) -> None:
    with pytest.raises(FieldError, match=r"shop\.Order\.note is encrypted"):
        Order.objects.filter(**{lookup: "x"})


@pytest.mark.parametrize("kind", [EncryptedTextField, EncryptedJSONField])
def test_migrations_can_write_the_field(kind: type[models.Field]) -> None:
    text, imports = MigrationWriter.serialize(kind(null=True))
    assert text == f"apps.core.encryption.{kind.__name__}(null=True)"
    assert imports == {"import apps.core.encryption"}


def test_check_refuses_a_malformed_key(settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = ["hunter2"]
    with pytest.raises(SystemCheckError, match=r"core\.E002") as failure:
        call_command("check", "core")
    assert "hunter2" not in str(failure.value)


def test_check_before_a_deploy_refuses_no_key_at_all(settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = []
    call_command("check", "core")
    with pytest.raises(SystemCheckError, match=r"core\.E001"):
        call_command("check", "core", deploy=True)


@pytest.mark.parametrize("module", ["local", "test"])
def test_check_before_a_deploy_refuses_the_keys_that_everybody_knows(settings: Any, module: str) -> None:
    source = (Path(__file__).resolve().parents[3] / f"mysite/settings/{module}.py").read_text()
    [entry] = re.findall(rf'"({module}:[A-Za-z0-9+/=]+)"', source)
    settings.FIELD_ENCRYPTION_KEYS = [key("k2"), entry]
    call_command("check", "core")
    with pytest.raises(SystemCheckError, match=r"core\.E003.*'" + module) as failure:
        call_command("check", "core", deploy=True)
    assert entry.partition(":")[2] not in str(failure.value)


def test_keys_are_read_from_the_settings_of_the_moment(settings: Any) -> None:
    assert list(encryption.keys()) == ["k1"]
    settings.FIELD_ENCRYPTION_KEYS = [key("k2"), key("k1")]
    assert list(encryption.keys()) == ["k2", "k1"]
