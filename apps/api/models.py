"""The answers kept for idempotency keys."""

from django.db import models
from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from apps.core.encryption import EncryptedJSONField


class IdempotentResponse(models.Model):
    """How a POST was answered, kept so that its repetition is answered alike and does nothing.

    Inserted in the transaction of what the request makes: either both are there or neither.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.JSONField(null=True, encoder=JSONEncoder)
    secret_body = EncryptedJSONField(null=True)  # instead of `body`, where it holds a credential
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return self.digest
