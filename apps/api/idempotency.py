"""The `idempotency-key` header: the same POST again has no second effect.

A key is bound to the credential and the URL, not to the body. Messages keep theirs in Datastore, in
the message's own commit (apps.deliveries.accept); what lives in SQL keeps its answer in the
transaction that makes it. Errors are not kept: the next try is a clean run.
"""

import hashlib
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.response import Response

from apps.api.models import IdempotentResponse
from apps.api.views import View

KEPT = timedelta(hours=12)
# Expired answers deleted along with each new one: more than are made, so they do not pile up.
DELETED_AT_ONCE = 10


def digest(view: View, *path: str) -> str | None:
    """What stands for credential, key and URL; `path` holds ids, never uids. None without the header."""
    key = view.request.headers.get("idempotency-key")
    if not key:
        return None
    bound_to = "\n".join([view.credential.key_digest, f"POST /{'/'.join(path)}", key])
    return hashlib.sha256(bound_to.encode()).hexdigest()


def once(digest: str | None, act: Callable[[], Response], *, secret: bool = False) -> Response:
    """Run `act` in a transaction and keep its answer, or return the one that is kept.

    A `secret` answer is kept encrypted.
    A second request while the first runs waits for it: on the row on PostgreSQL, on the write lock on
    SQLite.
    """
    with transaction.atomic():
        if digest is None:
            return act()
        _forget_expired(digest)
        try:
            with transaction.atomic():
                kept = IdempotentResponse.objects.create(digest=digest)
        except IntegrityError:
            kept = IdempotentResponse.objects.get(digest=digest)
            return Response(kept.body if kept.secret_body is None else kept.secret_body, kept.status)
        response = act()
        column = "secret_body" if secret else "body"
        kept.status = response.status_code
        setattr(kept, column, response.data)
        kept.save(update_fields=["status", column])
        return response


def _forget_expired(digest: str) -> None:
    """Make room for this key, and delete a few others that nobody holds."""
    expired = IdempotentResponse.objects.filter(created_at__lt=timezone.now() - KEPT)
    expired.filter(digest=digest).delete()
    some = expired.select_for_update(skip_locked=True).values_list("digest", flat=True)[:DELETED_AT_ONCE]
    IdempotentResponse.objects.filter(digest__in=list(some)).delete()
