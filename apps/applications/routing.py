"""Where an application's messages go: what the hot path needs of the configuration, read as one value.

From Redis when it holds a valid snapshot, else one SQL query. Never kept in a process.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import ExpressionWrapper, F, TextField
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.applications import endpoint_headers, signing_secrets
from apps.applications.models import Application
from apps.core import encryption, snapshots


@dataclass(frozen=True)
class Destination:
    """An endpoint as the pipeline sees it. What is secret of it stays encrypted until it is used."""

    id: str
    uid: str | None
    url: str
    disabled: bool
    event_types: list[str] | None
    channels: list[str] | None
    encrypted_signing_secret: str
    encrypted_old_signing_secrets: str | None
    encrypted_headers: str | None
    suspect_until: str | None
    failing_since: str | None

    def wants(self, event_type: str, channels: Iterable[str]) -> bool:
        """Whether the endpoint subscribes to such a message: its type, and any of its channels."""
        if self.event_types is not None and event_type not in self.event_types:
            return False
        return not self.channels or not set(self.channels).isdisjoint(channels)

    def is_suspect(self, now: datetime | None = None) -> bool:
        until = parse_datetime(self.suspect_until) if self.suspect_until else None
        return until is not None and until > (now or timezone.now())

    def signing_secrets(self, now: datetime | None = None) -> list[str]:
        """The secret, and those before it that are valid still."""
        found = [_decrypt(self.encrypted_signing_secret, "signing_secret")]
        if self.encrypted_old_signing_secrets is None:
            return found
        old = json.loads(_decrypt(self.encrypted_old_signing_secrets, "old_signing_secrets"))
        return found + signing_secrets.valid(old, now or timezone.now())

    def headers(self) -> dict[str, str]:
        """The headers of the customer's own that may be sent."""
        if self.encrypted_headers is None:
            return {}
        kept = json.loads(_decrypt(self.encrypted_headers, "headers"))
        # What was forbidden only after it was stored is not sent any more.
        return {name: value for name, value in kept.items() if not endpoint_headers.is_forbidden(name)}


@dataclass(frozen=True)
class Route:
    """An application and its endpoints."""

    application_id: str
    organization_id: str
    uid: str | None
    destinations: list[Destination]

    def destination(self, endpoint_id: str) -> Destination | None:
        return next((one for one in self.destinations if one.id == endpoint_id), None)

    def only(self, endpoint_id: str) -> "Route":
        """The way to this endpoint alone, whatever it subscribes to."""
        found = self.destination(endpoint_id)
        only = [replace(found, event_types=None, channels=None)] if found else []
        return replace(self, destinations=only)


SHAPE = snapshots.shape_of(Route, Destination)


def find(organization_id: str, id_or_uid: str) -> Route:
    """The route of an organization's application, by id or uid.

    Raises Application.DoesNotExist, for another tenant's application too.
    """
    if id_or_uid.startswith(Application.ID_PREFIX):
        route = of(id_or_uid)
    else:
        route = _by_uid(organization_id, id_or_uid)
    if route.organization_id != organization_id:
        raise Application.DoesNotExist
    return route


def of(application_id: str) -> Route:
    """The route of an application that the caller has a right to. Raises Application.DoesNotExist."""
    route = _read(application_id)
    if route is None:
        raise Application.DoesNotExist
    return route


def _read(application_id: str) -> Route | None:
    value = snapshots.read(Application(pk=application_id), lambda: _load(application_id), shape=SHAPE)
    if value is None:
        return None
    return Route(**{**value, "destinations": [Destination(**one) for one in value["destinations"]]})


def _by_uid(organization_id: str, uid: str) -> Route:
    """A remembered id is only a hint: what it leads to must still bear the uid."""
    hint = f"application-uid:{organization_id}:{uid}"
    application_id = snapshots.hint(hint)
    if application_id:
        route = _read(application_id)
        if route and (route.organization_id, route.uid) == (organization_id, uid):
            return route
    application_id = Application.objects.values_list("pk", flat=True).get(
        organization_id=organization_id, uid=uid
    )
    snapshots.remember(hint, application_id)
    return of(application_id)


# A left join: one statement sees the application's generation and its endpoints at one moment.
_COLUMNS = {
    "id": F("endpoints__id"),
    "uid": F("endpoints__uid"),
    "url": F("endpoints__url"),
    "disabled": F("endpoints__disabled"),
    "event_types": F("endpoints__event_types"),
    "channels": F("endpoints__channels"),
    # As text, so that they are not decrypted on the way: Redis must hold none of them in plain.
    "encrypted_signing_secret": ExpressionWrapper(F("endpoints__signing_secret"), TextField()),
    "encrypted_old_signing_secrets": ExpressionWrapper(F("endpoints__old_signing_secrets"), TextField()),
    "encrypted_headers": ExpressionWrapper(F("endpoints__headers"), TextField()),
    "suspect_until": F("endpoints__suspect_until"),
    "failing_since": F("endpoints__failing_since"),
}


def _load(application_id: str) -> tuple[str, dict[str, Any]] | None:
    destinations = {f"destination_{name}": column for name, column in _COLUMNS.items()}
    rows = list(
        Application.objects.filter(pk=application_id)
        .order_by("endpoints__id")
        .annotate(**destinations)
        .values("id", "organization_id", "uid", "generation", *destinations)
    )
    if not rows:
        return None
    application = rows[0]
    return application["generation"], {
        "application_id": application["id"],
        "organization_id": application["organization_id"],
        "uid": application["uid"],
        "destinations": [_destination(row) for row in rows if row["destination_id"]],
    }


def _decrypt(ciphertext: str, column: str) -> str:
    return encryption.decrypt(ciphertext, context=f"applications.endpoint.{column}")


def _destination(row: dict[str, Any]) -> dict[str, Any]:
    values = {name: row[f"destination_{name}"] for name in _COLUMNS}
    times = {name: at.isoformat() for name, at in values.items() if isinstance(at, datetime)}
    return values | times
