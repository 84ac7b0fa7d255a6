"""What the official SDKs can ask for and Waybill does not do yet: 501, never a silent half.

Paths in OpenAPI's notation, with their methods: the operations of the open Svix server and all that
PyPI's svix 2.9.1 calls. An operation that begins to work gets its view in urls.py and leaves here.
"""

from collections.abc import Iterable
from typing import Any

from apps.api.exceptions import NotImplementedYet

PLANNED = {
    "api/v1/admin/redrive-dlq": "POST",
    "api/v1/app/{app_id}/autoconfig": "POST",
    "api/v1/app/{app_id}/autoconfig/{autoconfig_id}": "DELETE",
    "api/v1/app/{app_id}/autoconfig/{autoconfig_id}/rotate": "POST",
    "api/v1/app/{app_id}/destination": "GET POST",
    "api/v1/app/{app_id}/destination/{destination_id}": "DELETE GET PATCH PUT",
    "api/v1/app/{app_id}/destination/{destination_id}/secret/rotate": "POST",
    "api/v1/app/{app_id}/destination/{destination_id}/transformation": "GET PATCH",
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/attempt-stats": "GET",
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/stats": "GET",
    "api/v1/app/{app_id}/endpoint/{endpoint_id}/transformation": "GET PATCH",
    "api/v1/app/{app_id}/integration": "GET POST",
    "api/v1/app/{app_id}/integration/{integ_id}": "DELETE GET PUT",
    "api/v1/app/{app_id}/integration/{integ_id}/key/rotate": "POST",
    "api/v1/app/{app_id}/msg/bulk-expunge": "POST",
    "api/v1/app/{app_id}/msg/expunge-all-contents": "POST",
    "api/v1/app/{app_id}/msg/precheck/active": "POST",
    "api/v1/app/{app_id}/poller/{sink_id}": "GET",
    "api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}": "GET",
    "api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}/seek": "POST",
    "api/v1/auth/logout": "POST",
    "api/v1/auth/stream-logout": "POST",
    "api/v1/auth/stream-portal-access/{stream_id}": "POST",
    "api/v1/auth/stream/{stream_id}/expire-all": "POST",
    "api/v1/auth/stream/{stream_id}/sink/{sink_id}/poller/token": "GET",
    "api/v1/auth/stream/{stream_id}/sink/{sink_id}/poller/token/rotate": "POST",
    "api/v1/connector": "GET POST",
    "api/v1/connector/{connector_id}": "DELETE GET PATCH PUT",
    "api/v1/environment/export": "POST",
    "api/v1/environment/import": "POST",
    "api/v1/event-type/import/openapi": "POST",
    "api/v1/operational-webhook/endpoint": "GET POST",
    "api/v1/operational-webhook/endpoint/{endpoint_id}": "DELETE GET PUT",
    "api/v1/operational-webhook/endpoint/{endpoint_id}/headers": "GET PUT",
    "api/v1/operational-webhook/endpoint/{endpoint_id}/secret": "GET",
    "api/v1/operational-webhook/endpoint/{endpoint_id}/secret/rotate": "POST",
    "api/v1/stats/usage/app": "POST",
    "api/v1/stats/usage/event-types": "PUT",
    "api/v1/stream": "GET POST",
    "api/v1/stream/event-type": "GET POST",
    "api/v1/stream/event-type/{name}": "DELETE GET PATCH PUT",
    "api/v1/stream/{stream_id}": "DELETE GET PATCH PUT",
    "api/v1/stream/{stream_id}/events": "POST",
    "api/v1/stream/{stream_id}/sink": "GET POST",
    "api/v1/stream/{stream_id}/sink/{sink_id}": "DELETE GET PATCH PUT",
    "api/v1/stream/{stream_id}/sink/{sink_id}/events": "GET",
    "api/v1/stream/{stream_id}/sink/{sink_id}/headers": "GET PATCH",
    "api/v1/stream/{stream_id}/sink/{sink_id}/secret": "GET",
    "api/v1/stream/{stream_id}/sink/{sink_id}/secret/rotate": "POST",
    "api/v1/stream/{stream_id}/sink/{sink_id}/transformation": "GET PATCH",
    "ingest/api/v1/source": "GET POST",
    "ingest/api/v1/source/{source_id}": "DELETE GET PUT",
    "ingest/api/v1/source/{source_id}/dashboard": "POST",
    "ingest/api/v1/source/{source_id}/endpoint": "GET POST",
    "ingest/api/v1/source/{source_id}/endpoint/{endpoint_id}": "DELETE GET PUT",
    "ingest/api/v1/source/{source_id}/endpoint/{endpoint_id}/headers": "GET PUT",
    "ingest/api/v1/source/{source_id}/endpoint/{endpoint_id}/secret": "GET",
    "ingest/api/v1/source/{source_id}/endpoint/{endpoint_id}/secret/rotate": "POST",
    "ingest/api/v1/source/{source_id}/endpoint/{endpoint_id}/transformation": "GET PATCH",
    "ingest/api/v1/source/{source_id}/token/rotate": "POST",
}


def refuse_fields(body: Any, names: Iterable[str]) -> None:
    """Raise NotImplementedYet where a request body says something by one of `names`."""
    for name in names:
        if body.get(name):
            raise NotImplementedYet(f"The field {name!r} is not implemented yet.")
