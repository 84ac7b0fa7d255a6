"""From the text of an API key to the organization it acts for."""

from dataclasses import dataclass

from apps.accounts.models import ApiKey
from apps.core import snapshots


@dataclass(frozen=True)
class Credential:
    """What an accepted API key may act for."""

    organization_id: str
    key_digest: str
    is_authenticated: bool = True  # what Django REST framework asks of a request's user


def authenticate(text: str) -> Credential | None:
    """The credential of a key's text, None for an unknown or revoked one.

    At most one SQL query, and a second one when Redis has just forgotten the key.
    """
    digest = ApiKey.digest_of(text)

    def load() -> tuple[str, str] | None:
        row = (
            ApiKey.objects.filter(digest=digest, revoked_at=None)
            .values_list("generation", "organization_id")
            .first()
        )
        return (row[0], row[1]) if row else None

    organization_id = snapshots.read(ApiKey(digest=digest), load, shape="organization")
    return Credential(organization_id, digest) if organization_id else None
