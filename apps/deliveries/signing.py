"""Signatures by the Standard Webhooks specification.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256

from django.conf import settings

from apps.applications import signing_secrets


def headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers that a receiver verifies. `timestamp` is in seconds since 1970.

    A signature for each secret, separated by spaces: receivers that know any one of them are content, so
    a secret is replaced while messages arrive. WAYBILL_SIGNATURE_HEADERS names the trio, or two of them.
    """
    values = {
        "id": message_id,
        "timestamp": str(timestamp),
        "signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }
    return {
        f"{prefix}-{name}": value
        for prefix in settings.WAYBILL_SIGNATURE_HEADERS
        for name, value in values.items()
    }


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of `id.timestamp.body`, base64: `v1,` HMAC-SHA256, or `v1a,` ed25519."""
    content = f"{message_id}.{timestamp}.".encode() + body
    if secret.startswith(signing_secrets.PRIVATE):
        return "v1a," + b64encode(signing_secrets.private_key(secret).sign(content)).decode()
    key = b64decode(secret.removeprefix(signing_secrets.SHARED))
    return "v1," + b64encode(hmac.new(key, content, sha256).digest()).decode()
