"""Signatures by the Standard Webhooks specification.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
from base64 import b64decode, b64encode
from hashlib import sha256


def headers(signing_secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers that a receiver verifies. `timestamp` is in seconds since 1970."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(signing_secret, message_id, timestamp, body),
    }


def sign(signing_secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` + base64 HMAC-SHA256 of `id.timestamp.body` under the bytes of a `whsec_` secret."""
    key = b64decode(signing_secret.removeprefix("whsec_"))
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.new(key, content, sha256).digest()).decode()
