"""Signing secrets of endpoints: their forms, and a rotation that no receiver has to be quick for.

`whsec_` + base64 is a key that sender and receiver share (HMAC-SHA256). `whsk_` + base64 is a private
key (ed25519), of which the receiver has the public one, `whpk_` + base64. Source: Standard Webhooks,
"Signature scheme".
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypedDict

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from apps.applications.models import Endpoint

SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
FORM = re.compile(r"(whsec_|whsk_)?([a-zA-Z0-9+/]+={0,2})")
SHARED_BYTES = range(24, 76)  # Svix takes 24 to 75, Standard Webhooks wants 24 to 64
SEED_BYTES = 32

GRACE = timedelta(hours=24)
LONGEST_GRACE = timedelta(days=7)
MOST_OLD = 10


class BadSecret(ValueError):
    """The text is no signing secret. The message says what one is, and holds no part of it."""


class TooManyOld(Exception):
    """So many old secrets are valid still that no further one can be kept beside them."""


class OldSecret(TypedDict):
    """A secret that was replaced: messages are signed with it too while it is valid."""

    secret: str
    valid_until: str


def parse(text: str) -> str:
    """The secret, with its prefix, which may be left out of a shared one. Raises BadSecret."""
    match = FORM.fullmatch(text)
    prefix = (match and match[1]) or SHARED
    key = _decoded(match[2]) if match else b""
    if match is None or not (_is_private(key) if prefix == PRIVATE else len(key) in SHARED_BYTES):
        raise BadSecret(
            f"Must be {SHARED} and the base64 of {SHARED_BYTES[0]} to {SHARED_BYTES[-1]} bytes, or {PRIVATE} "
            f"and the base64 of an ed25519 key: {SEED_BYTES} bytes, alone or before its public key."
        )
    return f"{prefix}{match[2]}"


def for_receiver(secret: str) -> str:
    """What a receiver verifies with: a shared secret itself, of a private key the public one."""
    if not secret.startswith(PRIVATE):
        return secret
    return PUBLIC + b64encode(_public(private_key(secret))).decode()


def private_key(secret: str) -> Ed25519PrivateKey:
    """The key of a `whsk_` secret."""
    return Ed25519PrivateKey.from_private_bytes(b64decode(secret.removeprefix(PRIVATE))[:SEED_BYTES])


def rotate(endpoint: Endpoint, secret: str, grace: timedelta, now: datetime | None = None) -> None:
    """Give the endpoint another secret, and keep the one before for `grace`. Not yet written.

    Raises TooManyOld. Forgets those that are over.
    """
    now = now or timezone.now()
    before = endpoint.signing_secret
    old = [
        one for one in endpoint.old_signing_secrets or [] if _is_valid(one, now) and one["secret"] != secret
    ]
    if grace and before != secret:
        if len(old) >= MOST_OLD:
            raise TooManyOld
        old.insert(0, OldSecret(secret=before, valid_until=(now + grace).isoformat()))
    endpoint.signing_secret, endpoint.old_signing_secrets = secret, old or None


def valid(old: Sequence[OldSecret], now: datetime) -> list[str]:
    """The old secrets that messages are signed with too."""
    return [one["secret"] for one in old if _is_valid(one, now)]


def _is_valid(old: OldSecret, now: datetime) -> bool:
    return datetime.fromisoformat(old["valid_until"]) > now


def _decoded(base64: str) -> bytes:
    try:
        return b64decode(base64, validate=True)
    except binascii.Error:
        return b""


def _is_private(key: bytes) -> bool:
    """Whether these are a seed, or a seed and the public key that follows from it."""
    if len(key) not in {SEED_BYTES, 2 * SEED_BYTES}:
        return False
    return key[SEED_BYTES:] in {b"", _public(Ed25519PrivateKey.from_private_bytes(key[:SEED_BYTES]))}


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
