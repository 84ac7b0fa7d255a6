"""Texts encrypted at rest: AES-256-GCM under keys that can rotate.

settings.FIELD_ENCRYPTION_KEYS lists "keyid:base64 of 32 bytes": the first one writes, all read. A
ciphertext reads `v1:keyid:base64url(nonce + ciphertext)` and is bound to a context, the model and field
it belongs to: moved elsewhere, it does not decrypt.

A key is rotated in three releases, since two may run at once (or one be rolled back), and each must be
able to read what the other one writes:

1. `old,new`: every version can read the new key before any writes it.
2. `new,old`; when it alone runs, `manage.py rotate_field_keys`, which is safe to repeat.
3. `new`, once the command says that no row uses the old one.
"""

import base64
import binascii
import json
import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    AnyText = models.TextField[Any, Any]
    Text = models.TextField[str, str]
else:
    AnyText = Text = models.TextField  # generic in its stubs only

VERSION = "v1"
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2: 96 bits, random
KEY_BYTES = 32
ENTRY = re.compile(r"(?P<id>[A-Za-z0-9_-]+):(?P<key>[A-Za-z0-9+/]+={0,2})")


class DecryptionError(ValueError):
    """A ciphertext that cannot be read. The message says why and holds no part of a value."""


def encrypt(text: str, *, context: str) -> str:
    """The ciphertext of `text` under the first key. Raises ImproperlyConfigured without a key."""
    key_id, key = next(iter(keys().items()))
    nonce = os.urandom(NONCE_BYTES)
    sealed = nonce + key.encrypt(nonce, text.encode(), context.encode())
    return f"{VERSION}:{key_id}:{base64.urlsafe_b64encode(sealed).decode()}"


def decrypt(ciphertext: str, *, context: str) -> str:
    """The text that `encrypt` was given, with the same context.

    Raises DecryptionError for a key that is not configured, another context, or an altered text.
    """
    version, _, rest = ciphertext.partition(":")
    key_id, separator, sealed = rest.partition(":")
    if version != VERSION or not separator:
        raise DecryptionError(
            f"{context}: not a text encrypted here (it does not begin with {VERSION}:keyid:)."
        )
    if key_id not in keys():
        raise DecryptionError(
            f"{context}: encrypted with key {key_id!r}, which FIELD_ENCRYPTION_KEYS does not list."
        )
    try:
        data = base64.urlsafe_b64decode(sealed)
        return keys()[key_id].decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], context.encode()).decode()
    except (InvalidTag, ValueError):
        raise DecryptionError(
            f"{context}: does not decrypt with key {key_id!r}: altered, or of another context or key."
        ) from None


def keys() -> dict[str, AESGCM]:
    """The configured keys by id, the writing one first. Raises ImproperlyConfigured when there is none."""
    found = parse(tuple(settings.FIELD_ENCRYPTION_KEYS))
    if not found:
        raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS is empty: there is no key to encrypt with.")
    return found


@cache
def parse(entries: tuple[str, ...]) -> dict[str, AESGCM]:
    """Keys by id. Raises ImproperlyConfigured, naming the entry by its position only: it holds a key."""
    found = {}
    for number, entry in enumerate(entries, start=1):
        if (match := ENTRY.fullmatch(entry)) is None or match["id"] in found:
            raise ImproperlyConfigured(
                f"FIELD_ENCRYPTION_KEYS: entry {number} is not keyid:base64, or its id repeats."
            )
        found[match["id"]] = AESGCM(key_bytes(match["key"], number))
    return found


def key_bytes(text: str, number: int) -> bytes:
    """The key's 32 bytes. Raises ImproperlyConfigured."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ImproperlyConfigured(
            f"FIELD_ENCRYPTION_KEYS: the key of entry {number} is not base64 of 32 bytes."
        )
    return key


class Encrypted(AnyText):
    """What the fields below share: encrypted in the database, plain on the instance.

    The context is `app.model.field`: renaming one of them needs a migration that encrypts anew. No
    lookup but `isnull` works, since equal texts have different ciphertexts. A row under a key that is
    not listed can not be read (DecryptionError names the key), and is whole again once it is listed.
    `dumpdata` writes plain, so that `loaddata` can read it under other keys: keep such a file as you
    keep the keys, or dump with PostgreSQL's own tools, which see ciphertexts only.
    """

    @property
    def context(self) -> str:
        """What its ciphertexts are bound to."""
        return f"{self.model._meta.label_lower}.{self.attname}"

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return None if value is None else decrypt(value, context=self.context)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        prepared = super().get_db_prep_save(value, connection)
        return encrypt(prepared, context=self.context) if isinstance(prepared, str) else prepared

    def get_lookup(self, lookup_name: str) -> Any:
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else self.refuse(lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        self.refuse(lookup_name)

    def refuse(self, lookup_name: str) -> Never:
        """Raise FieldError: a lookup would silently find nothing."""
        raise FieldError(f"{self} is encrypted: {lookup_name!r} cannot be looked up on it, only 'isnull'.")


class EncryptedTextField(Encrypted, Text):
    """A text."""


class EncryptedJSONField(Encrypted):
    """A value that JSON can hold."""

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        text = super().from_db_value(value)
        return None if text is None else json.loads(text)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else json.dumps(value)

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> Any:
        """The value itself, which serializers write as it is."""
        return self.value_from_object(obj)
