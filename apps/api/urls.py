"""The API's paths, in OpenAPI's notation. What is in neither table is unknown: 404."""

import re

from django.urls import URLPattern, re_path

from apps.api.fields import NAME
from apps.api.not_implemented import PLANNED
from apps.api.openapi import views as openapi
from apps.api.scopes import FOR_TOKENS
from apps.api.v1.application_tokens import ExpireAllTokens, PortalAccess
from apps.api.v1.applications import Applications, OneApplication
from apps.api.v1.attempts import AttemptContent, AttemptsOfEndpoint, AttemptsOfMessage, OneAttempt, Resend
from apps.api.v1.background_tasks import BackgroundTasks, OneBackgroundTask
from apps.api.v1.deliveries import AttemptedDestinations, AttemptedMessages
from apps.api.v1.endpoints import Endpoints, OneEndpoint
from apps.api.v1.event_types import EventTypes, OneEventType
from apps.api.v1.examples import SendExample
from apps.api.v1.headers import EndpointHeaders
from apps.api.v1.health import Health
from apps.api.v1.messages import MessageContent, Messages, OneMessage
from apps.api.v1.replays import BulkReplay, Recover, ReplayMissing
from apps.api.v1.signing_secrets import EndpointSecret, RotateSecret
from apps.api.views import View

VIEWS: dict[str, type[View]] = {
    "api/v1/health": Health,
    "api/v1/health/ping": Health,
    "api/v1/app": Applications,
    "api/v1/app/{app_id}": OneApplication,
    "api/v1/app/{app_id}/endpoint": Endpoints,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}": OneEndpoint,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/headers": EndpointHeaders,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/secret": EndpointSecret,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay": BulkReplay,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/msg": AttemptedMessages,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/recover": Recover,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing": ReplayMissing,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate": RotateSecret,
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example": SendExample,
    "api/v1/app/{app_id}/msg": Messages,
    "api/v1/app/{app_id}/msg/{msg_id}": OneMessage,
    "api/v1/app/{app_id}/msg/{msg_id}/content": MessageContent,
    "api/v1/app/{app_id}/msg/{msg_id}/attempt": AttemptsOfMessage,
    "api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}": OneAttempt,
    "api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content": AttemptContent,
    "api/v1/app/{app_id}/msg/{msg_id}/endpoint": AttemptedDestinations,
    "api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt": AttemptsOfMessage,
    "api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend": Resend,
    "api/v1/app/{app_id}/attempt/msg/{msg_id}": AttemptsOfMessage,
    "api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}": AttemptsOfEndpoint,
    "api/v1/auth/app-portal-access/{app_id}": PortalAccess,
    "api/v1/auth/dashboard-access/{app_id}": PortalAccess,
    "api/v1/auth/app/{app_id}/expire-all": ExpireAllTokens,
    "api/v1/background-task": BackgroundTasks,
    "api/v1/background-task/{task_id}": OneBackgroundTask,
    "api/v1/event-type": EventTypes,
    "api/v1/event-type/{event_type_name}": OneEventType,
}


def route(path: str) -> URLPattern:
    """A path, with or without a trailing slash. Without a view of its own it answers 501."""
    pattern = re.sub(r"{(\w+)}", rf"(?P<\1>{NAME.pattern})", path)
    view = VIEWS.get(path, View).as_view(
        planned=PLANNED.get(path, "").split(), for_tokens=FOR_TOKENS.get(path, {})
    )
    return re_path(rf"^{pattern}/?$", view)


# "{" sorts after all letters: a literal segment is tried before one that takes any name.
urlpatterns = [
    re_path(r"^api/openapi\.json/?$", openapi.document, name="openapi"),
    re_path("^api/docs/?$", openapi.pages, name="api-docs"),
    *(route(path) for path in sorted(VIEWS | PLANNED)),
]
