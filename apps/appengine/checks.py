"""`manage.py check`: settings, queue.yaml, cron.yaml and index.yaml agree.

The files are looked for in settings.BASE_DIR; one that is missing is not checked, since a container
image need not carry them.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution
from django.tasks import task_backends
from django.utils.module_loading import import_string

from apps.appengine import cron, cron_yaml, queue_yaml, trust
from apps.appengine.tasks.backend import REQUIRED, CloudTasksBackend

CRON_PREFIX = "/_cron/"
TRUST_OPTIONS = ("TARGET", "AUDIENCE", "SERVICE_ACCOUNT")


@register("appengine")
def check_tasks(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  Django passes app_configs, databases
    """E001 to E003: every backend has a target, what that needs, and the one trust rule."""
    for backend in _backends():
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


@register("appengine")
def check_queues(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E010 to E012: the queues of TASKS are those of queue.yaml."""
    yield from _checked("queue.yaml", "appengine.E010", _compare_queues)


def _compare_queues(path: Path) -> Iterator[CheckMessage]:
    listed = set(queue_yaml.read(path))
    used = set().union(*(backend.queues for backend in _backends()))
    for name in sorted(used - listed):
        yield Error(f"TASKS has the queue {name!r}, queue.yaml has not.", id="appengine.E011")
    for name in sorted(listed - used - {"default"}):  # every project has that one, used or not
        yield Error(f"queue.yaml has the queue {name!r}, TASKS has not.", id="appengine.E012")


@register("appengine")
def check_cron_jobs(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E020: what CRON_JOBS names can be imported and called."""
    for name, path in cron.jobs().items():
        try:
            import_string(path)
        except ImportError as error:
            yield Error(
                f"CRON_JOBS: {name!r} is {path!r}, which cannot be imported: {error}", id="appengine.E020"
            )


@register("appengine")
def check_cron(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E021 to E025: the jobs of CRON_JOBS are those of cron.yaml, each once."""
    yield from _checked("cron.yaml", "appengine.E021", _compare_cron)


def _compare_cron(path: Path) -> Iterator[CheckMessage]:
    urls = [job.url for job in cron_yaml.read(path)]
    names = {url.removeprefix(CRON_PREFIX) for url in urls if url.startswith(CRON_PREFIX)}
    for url in sorted({url for url in urls if not url.startswith(CRON_PREFIX)}):
        yield Error(f"cron.yaml calls {url}, which is not under {CRON_PREFIX}.", id="appengine.E022")
    for url in sorted({url for url in urls if urls.count(url) > 1}):
        yield Error(f"cron.yaml calls {url} more than once.", id="appengine.E023")
    for name in sorted(names - set(cron.jobs())):
        yield Error(f"cron.yaml has the job {name!r}, CRON_JOBS has not.", id="appengine.E024")
    for name in sorted(set(cron.jobs()) - names):
        yield Error(f"CRON_JOBS has the job {name!r}, cron.yaml has not.", id="appengine.E025")


@register("appengine")
def check_indexes(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E030 to E032: the properties in index.yaml are indexed properties of NDB models."""
    yield from _checked("index.yaml", "appengine.E030", _compare_indexes)


def _compare_indexes(path: Path) -> Iterator[CheckMessage]:
    kinds = _kinds()
    for index in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("indexes") or []:
        properties = kinds.get(index["kind"])
        if properties is None:
            yield Error(
                f"index.yaml has the kind {index['kind']!r}, which no NDB model has.", id="appengine.E031"
            )
            continue
        for name in [entry["name"] for entry in index["properties"]]:
            if name != "__key__" and name not in properties:
                yield Error(
                    f"index.yaml: {index['kind']} has no indexed property {name!r}.",
                    hint="Without it the index stays empty, and queries that need it find nothing.",
                    id="appengine.E032",
                )


def _kinds() -> dict[str, set[str]]:
    """The indexed properties, as stored, of each NDB model that is loaded, by kind."""
    from google.cloud import ndb  # noqa: PLC0415  0.8 s, which a project without index.yaml need not pay

    found: dict[str, set[str]] = {}
    models = list(ndb.Model.__subclasses__())
    while models:
        model = models.pop()
        models += model.__subclasses__()
        # These two are what NDB offers; the underscore keeps names free for properties.
        found[model._get_kind()] = {name for name, kept in model._properties.items() if kept._indexed}
    return found


@register("appengine", deploy=True)
def check_deploy(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E040 to E042: what must not reach production (`manage.py check --deploy`)."""
    if settings.DEBUG:
        yield Error("DEBUG is on.", id="appengine.E040")
    if os.environ.get("LOCAL_RUNTIME"):
        yield Error(
            "LOCAL_RUNTIME is set: App Engine headers would be trusted where nobody strips forged ones.",
            id="appengine.E041",
        )
    if not trust.options().get("TARGET"):
        yield Error(
            "TASKS['default']['OPTIONS']['TARGET'] is empty: no task and no cron job runs.",
            id="appengine.E042",
        )


def _backends() -> list[CloudTasksBackend]:
    return [backend for backend in task_backends.all() if isinstance(backend, CloudTasksBackend)]


def _checked(
    name: str, id_: str, compare: Callable[[Path], Iterator[CheckMessage]]
) -> Iterator[CheckMessage]:
    """What `compare` finds in a file of the project; a file that cannot be read as such is a finding too."""
    path = Path(settings.BASE_DIR) / name
    if not path.exists():
        return
    try:
        yield from compare(path)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        yield Error(f"{name} cannot be read: {error!r}", id=id_)
