"""Applications, their endpoints, and the organization's event types."""

import secrets
from base64 import b64encode
from typing import ClassVar

from django.db import models
from django.utils import timezone

from apps.accounts.models import Organization
from apps.core import ids
from apps.core.encryption import EncryptedJSONField, EncryptedTextField
from apps.core.snapshots import Snapshotted


def application_id() -> str:
    return ids.new("app")


def endpoint_id() -> str:
    return ids.new("ep")


def new_signing_secret() -> str:
    """`whsec_` + base64 of 24 random bytes (Standard Webhooks, "Signature scheme")."""
    return "whsec_" + b64encode(secrets.token_bytes(24)).decode()


class Application(Snapshotted):
    """One tenant of the organization, usually one of its customers.

    Its snapshots hold its endpoints and its tokens: whatever changes one of them happens inside
    `snapshots.change(application)`.
    """

    ID_PREFIX = "app_"

    id = models.CharField(primary_key=True, max_length=40, default=application_id, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="applications")
    uid = models.CharField(max_length=256, null=True, blank=True)  # noqa: DJ001  absent uids are not equal
    name = models.CharField(max_length=256)
    throttle_rate = models.PositiveIntegerField(null=True, blank=True, help_text="Messages a second.")
    metadata = models.JSONField(default=dict)
    token_epoch = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Raised to expire every token made before."
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "uid"], name="application_uid_in_organization")
        ]

    def __str__(self) -> str:
        return self.name


class Endpoint(models.Model):
    """A customer's URL that receives messages."""

    ID_PREFIX = "ep_"
    MAX_PER_APPLICATION = 1000  # a message and all its deliveries are one Datastore commit (10 MiB)

    id = models.CharField(primary_key=True, max_length=40, default=endpoint_id, editable=False)
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="endpoints")
    uid = models.CharField(max_length=256, null=True, blank=True)  # noqa: DJ001  absent uids are not equal
    url = models.TextField()
    description = models.TextField(blank=True)
    disabled = models.BooleanField(default=False)
    event_types = models.JSONField(null=True, blank=True, help_text="Names; null receives all.")
    channels = models.JSONField(null=True, blank=True, help_text="Names; null receives all.")
    throttle_rate = models.PositiveIntegerField(null=True, blank=True, help_text="Messages a second.")
    metadata = models.JSONField(default=dict)
    signing_secret = EncryptedTextField(default=new_signing_secret)
    # Those before it, while they are valid (signing_secrets.py).
    old_signing_secrets = EncryptedJSONField(null=True, blank=True)
    # Names and values (endpoint_headers.py) that go with each message.
    headers = EncryptedJSONField(null=True, blank=True)
    suspect_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Failed or was slow of late: attempts go through a queue of their own.",
    )
    failing_since = models.DateTimeField(
        null=True, blank=True, help_text="The first failure since the last success (health.py)."
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["application", "uid"], name="endpoint_uid_in_application")
        ]

    def __str__(self) -> str:
        return self.url


class EventType(models.Model):
    """A dotted label that messages carry and endpoints filter by."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="event_types")
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True)
    archived = models.BooleanField(default=False)
    deprecated = models.BooleanField(default=False)
    schemas = models.JSONField(null=True, blank=True)
    group_name = models.CharField(max_length=256, blank=True)
    feature_flags = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "name"], name="event_type_name_in_organization")
        ]

    def __str__(self) -> str:
        return self.name


class ApplicationToken(models.Model):
    """A credential of one application's customer, for a while. Shown once: only its digest is kept.

    apps/applications/tokens.py makes, reads and expires them.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="tokens")
    epoch = models.PositiveIntegerField(help_text="The application's when it was made; another one ends it.")
    capabilities = models.JSONField(help_text="What it may do: names of tokens.Capability.")
    feature_flags = models.JSONField(default=list, help_text="Event types behind these are shown to it.")
    session_id = models.CharField(max_length=256, blank=True, help_text="By which some can be expired.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.application_id} until {self.expires_at}"
