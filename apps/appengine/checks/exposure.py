"""What is open to whom: debug, hosts, HTTPS, and what belongs on a laptop only."""

import os
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution

from apps.appengine.app_yaml import AppYaml

from .files import on_app_engine, read_app
from .handlers import INTERNAL

# Suffixes that hold everybody's services, not only ours.
SHARED_DOMAINS = {
    "appspot.com",
    "run.app",
    "a.run.app",
    "googleapis.com",
    "googleusercontent.com",
    "cloudfunctions.net",
}


@register("appengine", deploy=True)
def check_nothing_local(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  Django passes app_configs, databases
    """E040, E041, E043, E044, W048: nothing of a laptop reaches production."""
    app = read_app()
    given = app.env_variables if app else {}
    where = f"{app.name}, env_variables" if app else "the environment"
    variables = {**os.environ, **given}
    if settings.DEBUG:
        yield Error(
            "DEBUG is on: errors show code and settings. Deploy with settings in which it is off.",
            id="appengine.E040",
        )
    if variables.get("LOCAL_RUNTIME"):
        yield Error(
            "LOCAL_RUNTIME is set: App Engine headers would be trusted where nobody strips forged ones. "
            "Remove it.",
            id="appengine.E041",
        )
    for name in sorted(
        name for name, value in variables.items() if name.endswith("_EMULATOR_HOST") and value
    ):
        yield Error(
            f"{name} is set: the site would look for an emulator instead of Google's service. Remove it from "
            f"{where if name in given else 'the environment'}.",
            id="appengine.E043",
        )
    if given.get("BUILD_MODE"):
        yield Error(
            f"{where}: BUILD_MODE is set, and a server refuses to start with placeholders. Remove the line.",
            id="appengine.E044",
        )
    if variables.get("LOG_LEVEL", "").upper() == "DEBUG":
        yield Caution(
            "LOG_LEVEL is DEBUG: libraries log each call, with what they send, and Cloud Logging bills by "
            "volume. Remove it, or write INFO.",
            id="appengine.W048",
        )


@register("appengine", deploy=True)
def check_hosts(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E045: only our own hosts are answered."""
    for host in settings.ALLOWED_HOSTS:
        if host == "*" or (host.startswith(".") and host.removeprefix(".") in SHARED_DOMAINS):
            whose = "every host" if host == "*" else "the services of others"
            yield Error(
                f"ALLOWED_HOSTS has {host!r}, which lets {whose} in: links in mails and redirects could lead "
                "there. Write the host names of this service.",
                hint="The production settings add those of APPSPOT_DOMAIN by themselves.",
                id="appengine.E045",
            )


@on_app_engine
def check_own_domain(app: AppYaml) -> Iterator[CheckMessage]:
    """E049: a server on App Engine knows by which hosts it is asked."""
    if not app.env_variables.get("APPSPOT_DOMAIN"):
        yield Error(
            f"{app.name}, env_variables: APPSPOT_DOMAIN is missing: a server refuses to start, since it does "
            'not know its hosts. Add what `gcloud app describe --format="value(defaultHostname)"` prints.',
            id="appengine.E049",
        )


@register("appengine", deploy=True)
def check_https(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E046, E047: people are redirected to HTTPS once, tasks and cron are not."""
    if not settings.SECURE_SSL_REDIRECT:
        return  # security.W008 says so
    for path in INTERNAL:
        if not any(re.search(pattern, path.lstrip("/")) for pattern in settings.SECURE_REDIRECT_EXEMPT):
            prefix = path.split("/")[1]
            yield Error(
                f"SECURE_REDIRECT_EXEMPT lacks /{prefix}/: those requests arrive as plain HTTP, do not "
                f'follow the redirect, and never run. Add r"^{prefix}/".',
                id="appengine.E046",
            )
    if not settings.SECURE_PROXY_SSL_HEADER:
        yield Error(
            "SECURE_PROXY_SSL_HEADER is empty, and Google ends HTTPS before the request reaches us: every "
            'page redirects to itself. Write ("HTTP_X_FORWARDED_PROTO", "https").',
            id="appengine.E047",
        )
