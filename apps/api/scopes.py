"""What an application token may ask for: one table, closed by default.

Paths in OpenAPI's notation, with the capabilities of which any one is enough. What is not here is for
an organization's keys only, and answers 403 to a token. What is here concerns one application, and
answers 404 for any other than the token's own; or holds nothing that one customer may know of another.
docs/access.md says the same in words, and a test compares the two.
"""

from typing import Any

from django.core.exceptions import PermissionDenied

from apps.accounts.credentials import Credential
from apps.applications import routing
from apps.applications.models import Application
from apps.applications.tokens import ApplicationCredential, Capability

Scope = frozenset[Capability]

LOOK = frozenset({Capability.VIEW_BASE})
SEND = frozenset({Capability.CREATE_ATTEMPTS})
CONFIGURE = frozenset({Capability.MANAGE_ENDPOINT})
ROTATE_SECRET = CONFIGURE | {Capability.MANAGE_ENDPOINT_SECRET}
SEE_SECRET = ROTATE_SECRET | {Capability.VIEW_ENDPOINT_SECRET}

ENDPOINT = "api/v1/app/{app_id}/endpoint/{endpoint_id}"
MESSAGE = "api/v1/app/{app_id}/msg/{msg_id}"
FOR_TOKENS: dict[str, dict[str, Scope]] = {
    "api/v1/app/{app_id}": {"GET": LOOK},
    "api/v1/app/{app_id}/endpoint": {"GET": LOOK, "POST": CONFIGURE},
    ENDPOINT: {"GET": LOOK, "PUT": CONFIGURE, "PATCH": CONFIGURE, "DELETE": CONFIGURE},
    f"{ENDPOINT}/headers": {"GET": LOOK, "PUT": CONFIGURE, "PATCH": CONFIGURE},
    f"{ENDPOINT}/secret": {"GET": SEE_SECRET},
    f"{ENDPOINT}/secret/rotate": {"POST": ROTATE_SECRET},
    f"{ENDPOINT}/stats": {"GET": LOOK},
    f"{ENDPOINT}/attempt-stats": {"GET": LOOK},
    f"{ENDPOINT}/msg": {"GET": LOOK},
    f"{ENDPOINT}/recover": {"POST": SEND},
    f"{ENDPOINT}/replay-missing": {"POST": SEND},
    f"{ENDPOINT}/bulk-replay": {"POST": SEND},
    f"{ENDPOINT}/send-example": {"POST": SEND},
    "api/v1/app/{app_id}/msg": {"GET": LOOK},
    MESSAGE: {"GET": LOOK},
    f"{MESSAGE}/attempt": {"GET": LOOK},
    f"{MESSAGE}/attempt/{{attempt_id}}": {"GET": LOOK},
    f"{MESSAGE}/endpoint": {"GET": LOOK},
    f"{MESSAGE}/endpoint/{{endpoint_id}}/attempt": {"GET": LOOK},
    f"{MESSAGE}/endpoint/{{endpoint_id}}/resend": {"POST": SEND},
    "api/v1/app/{app_id}/attempt/msg/{msg_id}": {"GET": LOOK},
    "api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}": {"GET": LOOK},
    "api/v1/event-type": {"GET": LOOK},
    "api/v1/event-type/{event_type_name}": {"GET": LOOK},
    "api/v1/auth/logout": {"POST": LOOK},
}


def check(credential: Credential | None, scope: Scope | None, path: dict[str, Any]) -> None:
    """Let a token do what its capabilities allow, to its own application; keys may do everything.

    `scope` is the operation's entry in the table, `path` what the URL names. From then on the path has
    the application's id in place of its uid: one that is given to another application meanwhile opens
    nothing. Raises PermissionDenied, or Application.DoesNotExist for another application.
    """
    if not isinstance(credential, ApplicationCredential):
        return
    if scope is None or scope.isdisjoint(credential.capabilities):
        raise PermissionDenied
    if "app_id" in path:
        _require_own(credential, path["app_id"])
        path["app_id"] = credential.application_id


def _require_own(credential: ApplicationCredential, id_or_uid: str) -> None:
    if id_or_uid == credential.application_id:
        return
    if id_or_uid != routing.of(credential.application_id).uid:
        raise Application.DoesNotExist
