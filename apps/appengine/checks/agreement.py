"""Settings, queue.yaml, cron.yaml and index.yaml agree; a file that is missing is not compared."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution
from django.utils.module_loading import import_string

from apps.appengine import cron, cron_yaml, queue_yaml

from . import files, tasks

CRON_PREFIX = "/_cron/"
FEWEST_RETRIES = 3  # fewer do not outlast a deploy or a database that restarts
SELDOM_HOURS = 1  # a job that runs less often than this should be tried again before its next time


@register("appengine")
def check_queues(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  Django passes app_configs, databases
    """E010 to E012: the queues of TASKS are those of queue.yaml."""
    yield from files.checked(files.path_of("queue.yaml"), "appengine.E010", _compare_queues)


def _compare_queues(path: Path) -> Iterator[CheckMessage]:
    listed = set(queue_yaml.read(path))
    used = set().union(*(backend.queues for backend in tasks.backends()))
    for name in sorted(used - listed):
        yield Error(
            f"TASKS has the queue {name!r}, queue.yaml has not.",
            hint="Add the queue to queue.yaml, or take its name from QUEUES in TASKS.",
            id="appengine.E011",
        )
    for name in sorted(listed - used - {"default"}):  # every project has that one, used or not
        yield Error(
            f"queue.yaml has the queue {name!r}, TASKS has not.",
            hint="Add the name to QUEUES in TASKS, or take the queue from queue.yaml.",
            id="appengine.E012",
        )


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
    yield from files.checked(files.path_of("cron.yaml"), "appengine.E021", _compare_cron)


def _compare_cron(path: Path) -> Iterator[CheckMessage]:
    urls = [job.url for job in cron_yaml.read(path)]
    names = {url.removeprefix(CRON_PREFIX) for url in urls if url.startswith(CRON_PREFIX)}
    for url in sorted({url for url in urls if not url.startswith(CRON_PREFIX)}):
        yield Error(
            f"cron.yaml calls {url}, which is not under {CRON_PREFIX}.",
            hint=f"Write {CRON_PREFIX} and a name in CRON_JOBS: only those routes let cron in.",
            id="appengine.E022",
        )
    for url in sorted({url for url in urls if urls.count(url) > 1}):
        yield Error(
            f"cron.yaml calls {url} more than once.",
            hint="Keep one of the entries.",
            id="appengine.E023",
        )
    for name in sorted(names - set(cron.jobs())):
        yield Error(
            f"cron.yaml has the job {name!r}, CRON_JOBS has not.",
            hint="Name it in CRON_JOBS, or take it from cron.yaml.",
            id="appengine.E024",
        )
    for name in sorted(set(cron.jobs()) - names):
        yield Error(
            f"CRON_JOBS has the job {name!r}, cron.yaml has not.",
            hint="Say in cron.yaml when it runs, or take it from CRON_JOBS.",
            id="appengine.E025",
        )


@register("appengine", deploy=True)
def check_queue_parameters(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E014, E015, W016: what queue.yaml would do to tasks."""
    for queue in files.queues().values():
        name, retry = f"queue.yaml: {queue.name}", queue.retry_parameters
        if not queue.rate:
            yield Error(
                f"{name} has rate 0: the upload stops the queue, and its tasks wait for ever. Write a rate "
                "such as 5/s.",
                hint="To hold a queue for a while: gcloud tasks queues pause.",
                id="appengine.E014",
            )
        if queue.target:
            yield Error(
                f"{name} has target: {queue.target}, which overrides where each task asks to go: a version "
                "that takes no traffic yet would not get its own tasks. Remove the line.",
                id="appengine.E015",
            )
        limit = retry.task_retry_limit
        if limit is not None and limit < FEWEST_RETRIES and retry.task_age_limit is None:
            yield Caution(
                f"{name} has task_retry_limit: {limit}: a task that fails {limit + 1} times is lost. Write "
                f"{FEWEST_RETRIES} or more, or add a task_age_limit.",
                hint="A restarting database or a rolling deploy fails every attempt for some seconds.",
                id="appengine.W016",
            )


@register("appengine", deploy=True)
def check_cron_retries(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """W027: a job that runs seldom is tried again when it fails."""
    for job in files.cron_entries():
        first = job.schedule.next_after(datetime.now(UTC))
        hours = (job.schedule.next_after(first) - first).total_seconds() / 3600
        if hours >= SELDOM_HOURS and job.retry_parameters is None:
            yield Caution(
                f"cron.yaml: {job.url} runs every {hours:g} hours and has no retry_parameters: after a "
                "failure nothing runs until the next time. Add retry_parameters with job_retry_limit: 3.",
                id="appengine.W027",
            )


@register("appengine")
def check_indexes(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E030 to E032: the properties in index.yaml are indexed properties of NDB models."""
    yield from files.checked(files.path_of("index.yaml"), "appengine.E030", _compare_indexes)


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
