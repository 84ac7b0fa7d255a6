"""cron.yaml without App Engine: a job of Cloud Scheduler for each entry.

Cloud Scheduler takes App Engine's schedules as they are (`every 1 mins`):
https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs, field `schedule`.
"""

import re
from pathlib import Path

from apps.appengine import cron_yaml
from apps.appengine.deploy import history
from apps.appengine.deploy.cloud_tasks import seconds
from apps.appengine.deploy.release import Release
from apps.appengine.deploy.shell import FailedError

CRON = Path("cron.yaml")
PREFIX = "cron-"  # other jobs of the project are none of ours
DEADLINE = "600s"  # App Engine's for a request


def job_name(url: str) -> str:
    """`/_cron/sweep` is the job `cron-sweep`."""
    return PREFIX + re.sub(r"[^A-Za-z0-9]+", "-", url.removeprefix("/_cron/")).strip("-")


def flags(job: cron_yaml.Job, service_url: str, account: str) -> list[str]:
    """What `create http` and `update http` are told. Raises FailedError."""
    if job.target:
        raise FailedError(f"cron.yaml: {job.url} has a target, which only App Engine has.")
    retry = job.retry_parameters or cron_yaml.RetryParameters()
    return [
        f"--schedule={job.schedule.text}",
        f"--time-zone={job.timezone}",
        f"--uri={service_url}{job.url}",
        "--http-method=GET",
        f"--oidc-service-account-email={account}",
        f"--oidc-token-audience={service_url}",
        f"--attempt-deadline={DEADLINE}",
        f"--description={job.description or job.url}",
        f"--max-retry-attempts={retry.job_retry_limit}",
        f"--max-retry-duration={seconds(retry.job_age_limit.total_seconds())}",
        f"--min-backoff={seconds(retry.min_backoff_seconds)}",
        f"--max-backoff={seconds(retry.max_backoff_seconds)}",
        f"--max-doublings={retry.max_doublings}",
    ]


def upload(release: Release, service_url: str, folder: str = "") -> None:
    """Make the jobs those of cron.yaml, in this tree or in a folder of the release.

    If it comes to that, those of the version before.
    """
    old, new = release.folder / "before" / CRON, release.folder / folder / CRON
    if history.has(release, CRON.name):
        release.undoing.later(
            f"the jobs of Cloud Scheduler are those of {release.serving} again",
            lambda: apply(release, CRON if release.shell.dry else old, service_url),
        )
    else:
        release.undoing.stays("The jobs of Cloud Scheduler stay: no cron.yaml of a version before is known.")
    apply(release, new if folder and not release.shell.dry else CRON, service_url)


def apply(release: Release, path: Path, service_url: str) -> None:
    """Create or update each job of the file; pause those of ours that it does not have."""
    jobs = {job_name(job.url): job for job in cron_yaml.read(path)}
    location = f"--location={release.deployment.region}"
    words = ["scheduler", "jobs", "list", location, "--format=json"]
    unknown = [{"name": name, "state": "ENABLED"} for name in jobs]
    listed = release.shell.ask_json(release.gcloud(*words), unknown) or []
    now = {job["name"].rpartition("/")[2]: job.get("state", "ENABLED") for job in listed}
    for name, job in jobs.items():
        verb = "update" if name in now else "create"
        told = flags(job, service_url, release.deployment.tasks_service_account)
        release.shell.run(release.gcloud("scheduler", "jobs", verb, "http", name, location, *told))
        if now.get(name) == "PAUSED":
            release.shell.run(release.gcloud("scheduler", "jobs", "resume", name, location))
    for name in sorted(set(now) - set(jobs)):
        if name.startswith(PREFIX) and now[name] != "PAUSED":
            release.shell.say(f"{name} is not in cron.yaml any more.")
            release.shell.run(release.gcloud("scheduler", "jobs", "pause", name, location))
