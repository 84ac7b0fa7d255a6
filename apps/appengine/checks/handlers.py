"""The handlers of app.yaml: what App Engine serves itself, and what it leaves to the app."""

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.urls import Resolver404, resolve

from apps.appengine.app_yaml import AppYaml

from .files import on_app_engine, path_of

WARMUP = "/_ah/warmup"
INTERNAL = ("/_tasks/default/a.task", "/_cron/job", WARMUP)
CATCH_ALL = "`- url: /.*` with `script: auto`"


@on_app_engine
def check_app_is_reached(app: AppYaml) -> Iterator[CheckMessage]:
    """E080, E081, E086: tasks, cron and warmup reach the app, as plain HTTP."""
    for path in INTERNAL:
        handler = app.handler_of(path)
        if handler is None or handler.is_static:
            taken = f"{handler.url} takes it" if handler else "no handler takes it"
            yield Error(
                f"{app.name}: handlers: {path} does not reach the app: {taken}. End the list with "
                f"{CATCH_ALL}.",
                id="appengine.E081",
            )
            return
        if handler.secure == "always":
            yield Error(
                f"{app.name}: handlers: {handler.url} has `secure: always`, which redirects tasks and cron "
                "too; they arrive as plain HTTP and do not follow. Remove the line there: Django redirects "
                "people (SECURE_SSL_REDIRECT).",
                id="appengine.E080",
            )
            return


@on_app_engine
def check_login(app: AppYaml) -> Iterator[CheckMessage]:
    """E086: nothing counts on a sign-in that App Engine does not do."""
    for handler in app.handlers:
        if handler.login != "optional":
            yield Error(
                f"{app.name}: handlers: {handler.url} has `login: {handler.login}`, which works with App "
                "Engine's bundled services only. Remove it: the views ask who is there.",
                id="appengine.E086",
            )


@on_app_engine
def check_static_files(app: AppYaml) -> Iterator[CheckMessage]:
    """E082 to E084: the URL that pages name leads to the folder that collectstatic fills."""
    if not _app_engine_serves_static_files():
        return
    path = f"{settings.STATIC_URL}x.css"
    handler = app.handler_of(path)
    able = next((one for one in app.handlers if one.is_static and one.takes(path)), None)
    if able is None:
        yield Error(
            f"{app.name}: no handler serves {settings.STATIC_URL} (STATIC_URL): every style sheet is a 404. "
            f"Add `- url: {settings.STATIC_URL.rstrip('/')}` with `static_dir: {_static_root()}`, or set "
            "STATIC_BUCKET.",
            id="appengine.E083",
        )
    elif handler is not able:
        yield Error(
            f"{app.name}: handlers: {handler.url if handler else ''} comes before {able.url} and takes "
            f"{settings.STATIC_URL} too: every style sheet is a 404. Move {able.url} above it.",
            id="appengine.E082",
        )
    elif able.folder and path_of(able.folder).resolve() != Path(settings.STATIC_ROOT).resolve():
        yield Error(
            f"{app.name}: handlers: {able.url} has `static_dir: {able.folder}`, and collectstatic fills "
            f"{_static_root()} (STATIC_ROOT). Write `static_dir: {_static_root()}`.",
            id="appengine.E084",
        )


def _app_engine_serves_static_files() -> bool:
    """Neither a bucket, which has a host of its own, nor the app itself does."""
    ours = settings.STATIC_URL.startswith("/")
    return ours and not any("whitenoise" in name for name in settings.MIDDLEWARE)


def _static_root() -> str:
    """STATIC_ROOT as app.yaml writes it, relative to the project."""
    root, base = Path(settings.STATIC_ROOT), Path(settings.BASE_DIR)
    return str(root.relative_to(base)) if root.is_relative_to(base) else str(root)


@on_app_engine
def check_warmup(app: AppYaml) -> Iterator[CheckMessage]:
    """W070, W071: App Engine asks for warmup, and there is a route that answers."""
    asked = "warmup" in app.inbound_services
    if asked != _is_routed(WARMUP):
        if asked:
            yield Caution(
                f"{app.name}: inbound_services lists warmup, and no route answers {WARMUP}. Include "
                "apps.appengine.urls, or remove the entry.",
                id="appengine.W071",
            )
        else:
            yield Caution(
                f"{app.name}: inbound_services lacks warmup, so the first person waits for what {WARMUP} "
                "would have opened. Add `inbound_services: [warmup]`.",
                id="appengine.W070",
            )


def _is_routed(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
