"""The first attempts of a message, to all its endpoints at once."""

from collections.abc import Sequence
from concurrent.futures import Future, as_completed, wait
from itertools import batched

from django.tasks import task

from apps.applications import health
from apps.deliveries import payloads
from apps.deliveries.attempt import Job, Sending, due_jobs, finish, queue_attempt, send
from apps.deliveries.endpoint_health import SLOW_MS
from apps.deliveries.transport import Result

# Endpoints that one task serves together: their attempts are recorded in one commit.
TOGETHER = 10
# Requests in flight from one process to one endpoint that is under no suspicion (yet).
CALM_IN_FLIGHT = 10


@task(queue_name="deliveries")
def fan_out(application_id: str, message_id: str, endpoint_ids: list[str]) -> None:
    """Make the first attempt of a message to each of `endpoint_ids`; a stale task sends nothing."""
    if len(endpoint_ids) > TOGETHER:
        for some in batched(endpoint_ids, TOGETHER, strict=False):
            fan_out.enqueue(application_id, message_id, list(some))
        return
    if jobs := due_jobs(application_id, message_id, endpoint_ids, made=0):
        _deliver(jobs)


def _deliver(jobs: Sequence[Job]) -> None:
    """Send at once; record together what is quick and, as it ends, each of what is slow."""
    message = jobs[0].message
    sendings = _start(jobs, payloads.read(message))
    quick, slow = wait(sendings, timeout=SLOW_MS / 1000)
    if quick:
        finish(message, [sendings[future] for future in quick])
    for future in slow:
        health.mark_suspect(message.application_id, sendings[future].destination)
    for future in as_completed(slow):
        finish(message, [sendings[future]])


def _start(jobs: Sequence[Job], body: bytes) -> dict[Future[Result], Sending]:
    """Suspect endpoints, and those with many requests in flight, go to a queue of their own instead."""
    sendings = {}
    for job in jobs:
        sending = None if job.destination.is_suspect() else send(job, body, CALM_IN_FLIGHT)
        if sending:
            sendings[sending.result] = sending
        else:
            queue_attempt(job.delivery)
    return sendings
