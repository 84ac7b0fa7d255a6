"""`Authorization: Bearer`: an API key acts for its whole organization, a token for one application."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.accounts import credentials
from apps.accounts.credentials import Credential
from apps.applications import tokens


class BearerAuthentication(BaseAuthentication):
    """Makes a Credential the request's user. At most one SQL query."""

    def authenticate(self, request: Request) -> tuple[Credential, None] | None:
        """None without a Bearer header, which the permission check then refuses with 401."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        text = text.strip()
        read = tokens.authenticate if text.startswith(tokens.PREFIX) else credentials.authenticate
        credential = read(text)
        if credential is None:
            raise AuthenticationFailed("Unknown, revoked or expired credential.")
        return credential, None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002  DRF's signature
        """The WWW-Authenticate of a 401 (RFC 6750, 3)."""
        return 'Bearer realm="api"'
