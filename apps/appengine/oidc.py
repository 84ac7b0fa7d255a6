"""Verify the OIDC tokens that Cloud Tasks and Cloud Scheduler send to an HTTP target.

https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken
Google rotates its keys: they are fetched, kept as long as their Cache-Control says, and fetched again
for a key id that is not among them.
"""

import json
import logging
import re
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any

from django.conf import settings
from google.auth import jwt
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

logger = logging.getLogger(__name__)

CERTS_URL = "https://www.googleapis.com/oauth2/v1/certs"
ISSUERS = ("https://accounts.google.com", "accounts.google.com")
CLOCK_SKEW = 10  # seconds

FETCH_TIMEOUT = 3.0  # seconds
# Seconds between two fetches for unknown key ids: an attacker can make up as many as he likes.
MIN_REFETCH = 30.0
# Keys live this long past their max-age while Google cannot be reached, in seconds. Longer would keep
# alive a key that Google withdrew.
MAX_STALE = 3600.0


class TokenError(Exception):
    """The token is not one of ours; the message says why."""


@dataclass
class Certificates:
    """Google's public certificates by key id, cached. Times are of `time.monotonic`, in seconds."""

    url: str
    by_key_id: dict[str, str] = field(default_factory=dict)
    fresh_until: float = float("-inf")
    tried_at: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key_id: str) -> str | None:
        """The certificate in PEM, fetched where needed; None when there is no such key or it is too old."""
        if self._due(key_id):
            with self.lock:
                if self._due(key_id):  # Nobody fetched while this thread waited.
                    self._refresh()
        return self.by_key_id.get(key_id) if time.monotonic() < self.fresh_until + MAX_STALE else None

    def _due(self, key_id: str) -> bool:
        now = time.monotonic()
        wanted = now >= self.fresh_until or key_id not in self.by_key_id
        return wanted and now >= self.tried_at + MIN_REFETCH

    def _refresh(self) -> None:
        try:
            response = Request()(self.url, method="GET", timeout=FETCH_TIMEOUT)
            if response.status != HTTPStatus.OK:
                raise ValueError(f"status {response.status}")
            self.by_key_id = _parse(response.data)
            self.fresh_until = time.monotonic() + _max_age(response.headers.get("Cache-Control", ""))
        except (GoogleAuthError, ValueError) as error:
            logger.error("The keys at %s were not fetched: %s", self.url, error)
        finally:
            self.tried_at = time.monotonic()


def _parse(raw: bytes) -> dict[str, str]:
    certificates = json.loads(raw)
    if not isinstance(certificates, dict) or not all(isinstance(pem, str) for pem in certificates.values()):
        raise ValueError("not an object of certificates by key id")
    return certificates


def _max_age(cache_control: str) -> float:
    """Seconds; none where the header does not say, so that the next look-up asks again."""
    match = re.search(r"\bmax-age=(\d+)", cache_control)
    return float(match[1]) if match else 0.0


@cache
def certificates(url: str) -> Certificates:
    """The process's cache for the keys at `url`."""
    return Certificates(url)


def verify(token: str, *, audience: str, email: str) -> dict[str, Any]:
    """The claims of a token that Google signed for this audience and service account, now.

    Raises TokenError, also when Google's keys cannot be fetched.
    """
    try:
        claims = _decode(token, audience)
        _require_origin(claims, email)
    except (GoogleAuthError, ValueError, TypeError) as error:
        raise TokenError(str(error)) from error
    return claims


def _require_origin(claims: dict[str, Any], email: str) -> None:
    if claims.get("iss") not in ISSUERS:
        raise TokenError(f"issuer {claims.get('iss')!r}")
    if claims.get("email") != email or claims.get("email_verified") is not True:
        raise TokenError(f"account {claims.get('email')!r}, verified {claims.get('email_verified')!r}")
    if claims.get("nbf", 0) > time.time() + CLOCK_SKEW:
        raise TokenError("not yet valid")


def _decode(token: str, audience: str) -> dict[str, Any]:
    """Signature, times (iat and exp) and audience. One algorithm: the token must not choose."""
    header = jwt.decode_header(token)  # type: ignore[no-untyped-call]  # google-auth is half typed
    if header.get("alg") != "RS256":
        raise TokenError(f"algorithm {header.get('alg')!r}")
    key_id = str(header.get("kid"))
    certificate = certificates(getattr(settings, "OIDC_CERTS_URL", CERTS_URL)).get(key_id)
    if certificate is None:
        raise TokenError(f"no key {key_id!r}")
    claims: dict[str, Any] = jwt.decode(  # type: ignore[no-untyped-call]  # as above
        token, certs={key_id: certificate}, audience=audience, clock_skew_in_seconds=CLOCK_SKEW
    )
    return claims
