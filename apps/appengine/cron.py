"""GET /_cron/<name>: what App Engine cron, or Cloud Scheduler, calls.

The setting CRON_JOBS is the dotted path of a dict that maps each name in cron.yaml to the dotted path
of what runs. A function runs in the request; a task is enqueued, and so is tried again by its queue.
Cron runs a job at least once.
"""

import logging
import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.tasks import Task
from django.utils.module_loading import import_string
from django.views.decorators.http import require_GET

from apps.appengine import trust
from apps.appengine.responses import logged

logger = logging.getLogger(__name__)


def jobs() -> dict[str, str]:
    """The registered jobs: dotted path by name."""
    found: dict[str, str] = import_string(settings.CRON_JOBS)
    return found


@trust.only_cron
@require_GET
def run_job(request: HttpRequest, name: str) -> HttpResponse:  # noqa: ARG001  Django passes the request
    """Run the job: 200, 404 for an unknown name, 500 when it raised (logged here, with its traceback).

    Each run logs one line, of which metrics are made.
    """
    started = time.monotonic()
    path = jobs().get(name)
    if path is None:
        logger.error("Cron job %s is unknown", name, extra=_event(name, "failed", started))
        return logged("unknown job", status=404)
    try:
        _run(path)
    except Exception:  # whatever a job raises must end here
        logger.exception("Cron job %s failed", name, extra=_event(name, "failed", started))
        return logged("failed", status=500)
    logger.info("Cron job %s is done", name, extra=_event(name, "done", started))
    return HttpResponse("done")


def _event(name: str, outcome: str, started: float) -> dict[str, str | int]:
    milliseconds = round((time.monotonic() - started) * 1000)
    return {"event": "cron", "job": name, "outcome": outcome, "duration_ms": milliseconds}


def _run(path: str) -> None:
    job = import_string(path)
    if isinstance(job, Task):
        job.enqueue()
    else:
        job()
