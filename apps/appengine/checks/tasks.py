"""TASKS: targets, what they need, and whom they trust."""

import os
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution
from django.tasks import task_backends

from apps.appengine import trust
from apps.appengine.tasks.backend import REQUIRED, CloudTasksBackend

TRUST_OPTIONS = ("TARGET", "AUDIENCE", "SERVICE_ACCOUNT")


def backends() -> list[CloudTasksBackend]:
    return [backend for backend in task_backends.all() if isinstance(backend, CloudTasksBackend)]


@register("appengine")
def check_tasks(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  Django passes app_configs, databases
    """E001 to E003: every backend has a target, what that needs, and the one trust rule."""
    for backend in backends():
        name = f"TASKS[{backend.alias!r}]['OPTIONS']"
        target, missing = backend.options.get("TARGET"), backend.missing_options()
        if target and target not in REQUIRED:
            yield Error(f"{name}['TARGET'] is {target!r}, not one of {list(REQUIRED)}.", id="appengine.E001")
        elif target and missing:
            yield Error(f"{name} lacks {', '.join(missing)}.", id="appengine.E002")
        if any(backend.options.get(option) != trust.options().get(option) for option in TRUST_OPTIONS):
            yield Error(
                f"{name} and TASKS['default'] differ in one of {', '.join(TRUST_OPTIONS)}: only the latter "
                "decides whom to trust.",
                hint="Give both the same OPTIONS.",
                id="appengine.E003",
            )


@register("appengine")
def check_somewhere_to_go(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """W001: this process can enqueue tasks."""
    local = settings.DEBUG and not os.environ.get("CLOUD_TASKS_EMULATOR_HOST")
    if local or not trust.options().get("TARGET"):
        yield Caution(
            "Tasks have nowhere to go: "
            + (
                "CLOUD_TASKS_EMULATOR_HOST names no local queue server."
                if local
                else "TASKS_TARGET is empty."
            ),
            hint="Pages work; what enqueues a task fails. `make run` starts a queue server.",
            id="appengine.W001",
        )


@register("appengine", deploy=True)
def check_target_for_deploy(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E004 to E006, E042: tasks arrive, and with a token that is accepted."""
    options = trust.options()
    name = "TASKS['default']['OPTIONS']"
    if not options.get("TARGET"):
        yield Error(
            f"{name}['TARGET'] is empty: no task and no cron job runs. Set TASKS_TARGET to appengine or "
            "http.",
            id="appengine.E042",
        )
    if options.get("TARGET") != "http":
        return
    url, audience, account = (options.get(key) or "" for key in ("URL", "AUDIENCE", "SERVICE_ACCOUNT"))
    if url and not url.startswith("https://"):
        yield Error(
            f"{name}['URL'] is {url}: the token would travel in the clear, and Cloud Run answers with a "
            "redirect that tasks do not follow. Set TASKS_URL to the service's https:// address.",
            id="appengine.E004",
        )
    if audience and not audience.startswith("https://"):
        yield Error(
            f"{name}['AUDIENCE'] is {audience}: Cloud Run accepts tokens for its own address only. Set "
            "TASKS_AUDIENCE to the service's https:// address, without a path.",
            id="appengine.E005",
        )
    if account and not re.fullmatch(r"[^@\s:]+@[^@\s]+\.gserviceaccount\.com", account):
        yield Error(
            f"{name}['SERVICE_ACCOUNT'] is {account}, no service account's e-mail address. Set "
            "TASKS_SERVICE_ACCOUNT to NAME@PROJECT.iam.gserviceaccount.com.",
            id="appengine.E006",
        )
