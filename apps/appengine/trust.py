"""Who may call `/_tasks` and `/_cron`: exactly one rule, by the target in TASKS["default"]["OPTIONS"].

- "appengine": App Engine removes `X-AppEngine-*` from outside requests, so these headers prove that
  Cloud Tasks or cron sent the request, but only on App Engine itself or behind the local runtime.
- "http": nobody strips headers there, so only a token signed by Google counts.

Anything else, nothing configured included, refuses every request.
"""

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from apps.appengine import oidc
from apps.appengine.responses import logged

logger = logging.getLogger(__name__)

type View = Callable[..., HttpResponse]


class UntrustedError(Exception):
    """The request is not to be trusted; the message names the setting or the header."""


def options() -> dict[str, Any]:
    """The OPTIONS that decide whom to trust; none where nothing is configured."""
    backend: dict[str, Any] = settings.TASKS.get("default", {})
    return backend.get("OPTIONS") or {}


def only_cloud_tasks(view: View) -> View:
    """Answer 403 before anything is parsed, unless Cloud Tasks sent the request from `queue`."""
    return _guard(view, lambda request, queue, **_: _require(request, "X-AppEngine-QueueName", queue))


def only_cron(view: View) -> View:
    """Answer 403 unless App Engine cron or Cloud Scheduler sent the request."""
    return _guard(view, lambda request, **_: _require(request, "X-Appengine-Cron", "true"))


def _guard(view: View, require: Callable[..., None]) -> View:
    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            require(request, **kwargs)
        except UntrustedError as refusal:
            logger.warning("Refused %s %s: %s", request.method, request.path, refusal)
            return logged("forbidden", status=403)
        return view(request, **kwargs)

    return guarded


def _require(request: HttpRequest, header: str, value: str) -> None:
    rule = options()
    match rule.get("TARGET"):
        case "appengine":
            _require_header(request, header, value)
        case "http":
            _require_token(request, rule)
        case target:
            raise UntrustedError(
                f'TASKS["default"]["OPTIONS"]["TARGET"] is {target!r}, not "appengine" or "http"'
            )


def _require_header(request: HttpRequest, header: str, value: str) -> None:
    if os.environ.get("GAE_ENV") != "standard" and os.environ.get("LOCAL_RUNTIME") != "1":
        raise UntrustedError(
            'TARGET is "appengine", but neither GAE_ENV=standard nor LOCAL_RUNTIME=1 says that somebody '
            "removes forged headers here"
        )
    if request.headers.get(header) != value:
        raise UntrustedError(f"the header {header} is not {value!r}")


def _require_token(request: HttpRequest, rule: dict[str, Any]) -> None:
    for name in ("AUDIENCE", "SERVICE_ACCOUNT"):
        if not rule.get(name):
            raise UntrustedError(f'TARGET is "http", but TASKS["default"]["OPTIONS"]["{name}"] is empty')
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise UntrustedError("no bearer token")
    try:
        oidc.verify(token, audience=rule["AUDIENCE"], email=rule["SERVICE_ACCOUNT"])
    except oidc.TokenError as error:
        raise UntrustedError(f"invalid token: {error}") from error
