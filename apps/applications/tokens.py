"""Application tokens: what a customer holds, for one application and for a while.

A token's text names its application, so its snapshot is one of that application's: whatever changes the
application ends it, and expiring all of them is one change.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.accounts.credentials import Credential
from apps.accounts.models import ApiKey
from apps.applications.models import Application, ApplicationToken
from apps.core import ids, snapshots

PREFIX = "appsk_"
SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=7)
# Expired tokens deleted along with each new one: more than are made, so they do not pile up.
DELETED_AT_ONCE = 10


class Capability(StrEnum):
    """What a token may do, by the names of Svix's API."""

    VIEW_BASE = "ViewBase"
    VIEW_ENDPOINT_SECRET = "ViewEndpointSecret"  # noqa: S105  a capability's name
    MANAGE_ENDPOINT_SECRET = "ManageEndpointSecret"  # noqa: S105  a capability's name
    MANAGE_TRANSFORMATIONS = "ManageTransformations"
    CREATE_ATTEMPTS = "CreateAttempts"
    MANAGE_ENDPOINT = "ManageEndpoint"


@dataclass(frozen=True, kw_only=True)
class ApplicationCredential(Credential):
    """What an accepted token may act for: one application, and there only what its capabilities allow."""

    application_id: str
    capabilities: frozenset[str]
    feature_flags: frozenset[str]
    expires_at: datetime


SHAPE = snapshots.shape_of(ApplicationCredential)


def issue(
    application: Application,
    *,
    capabilities: Iterable[Capability] = Capability,
    feature_flags: Iterable[str] = (),
    session_id: str = "",
    lasts: timedelta = LONGEST,
) -> str:
    """Make a token. Returns its text, which is not kept and can not be shown again."""
    ksuid = application.pk.removeprefix(Application.ID_PREFIX)
    text = f"{PREFIX}{ksuid}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        _forget_expired()
        application.tokens.create(
            digest=ApiKey.digest_of(text),
            epoch=application.token_epoch,
            capabilities=sorted(capabilities),
            feature_flags=sorted(feature_flags),
            session_id=session_id,
            expires_at=timezone.now() + lasts,
        )
    return text


def authenticate(text: str) -> ApplicationCredential | None:
    """The credential of a token's text, None for an unknown or expired one.

    At most one SQL query, and a second one when Redis has just forgotten the application.
    """
    ksuid = text.removeprefix(PREFIX)[: ids.LENGTH]
    application_id = f"{Application.ID_PREFIX}{ksuid}"
    if not text.startswith(PREFIX) or not ids.is_id("app", application_id):
        return None
    digest = ApiKey.digest_of(text)
    kept = snapshots.read(
        Application(pk=application_id),
        lambda: _load(application_id, digest),
        shape=f"{SHAPE}:{digest}",
    )
    expires_at = parse_datetime(kept["expires_at"]) if kept else None
    if kept is None or expires_at is None or expires_at <= timezone.now():
        return None
    return ApplicationCredential(
        kept["organization_id"],
        digest,
        application_id=application_id,
        capabilities=frozenset(kept["capabilities"]),
        feature_flags=frozenset(kept["feature_flags"]),
        expires_at=expires_at,
    )


def expire(application: Application, *, after: timedelta, session_ids: Iterable[str] = ()) -> None:
    """Expire the application's tokens in every process; with session ids, those of these sessions only.

    Those that expire sooner anyway still do. Raises snapshots.Unavailable.
    """
    with snapshots.change(application):
        sessions = list(session_ids)
        if not after and not sessions:
            rows = Application.objects.filter(pk=application.pk)
            rows.update(token_epoch=F("token_epoch") + 1)
            return
        until = timezone.now() + after
        tokens = application.tokens.filter(expires_at__gt=until)
        if sessions:
            tokens = tokens.filter(session_id__in=sessions)
        tokens.update(expires_at=until)


def _load(application_id: str, digest: str) -> tuple[str, dict[str, Any]] | None:
    row = (
        ApplicationToken.objects.filter(
            digest=digest, application_id=application_id, epoch=F("application__token_epoch")
        )
        .values(
            "capabilities",
            "feature_flags",
            "expires_at",
            organization_id=F("application__organization_id"),
            generation=F("application__generation"),
        )
        .first()
    )
    return (row["generation"], {**row, "expires_at": row["expires_at"].isoformat()}) if row else None


def _forget_expired() -> None:
    expired = ApplicationToken.objects.filter(expires_at__lt=timezone.now())
    some = expired.select_for_update(skip_locked=True).values_list("digest", flat=True)[:DELETED_AT_ONCE]
    ApplicationToken.objects.filter(digest__in=list(some)).delete()
