"""GET /_cron/<name>: what App Engine cron, or Cloud Scheduler, calls.

The setting CRON_JOBS is the dotted path of a dict that maps each name in cron.yaml to the dotted path
of what runs. A function runs in the request; a task is enqueued, and so is tried again by its queue.
Cron runs a job at least once.
"""

import logging

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
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
    """Run the job: 200, 404 for an unknown name, 500 when it raised (logged here, with its traceback)."""
    path = jobs().get(name)
    if path is None:
        raise Http404(name)
    try:
        _run(path)
    except Exception:  # whatever a job raises must end here
        logger.exception("Cron job %s failed", name)
        return logged("failed", status=500)
    return HttpResponse("done")


def _run(path: str) -> None:
    job = import_string(path)
    if isinstance(job, Task):
        job.enqueue()
    else:
        job()
