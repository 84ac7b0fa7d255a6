"""queue.yaml without App Engine: the queues of Cloud Tasks made equal to it, one gcloud call each.

https://cloud.google.com/tasks/docs/queue-yaml has the names on both sides. `bucket_size` has none:
Cloud Tasks derives the burst from the rate.
"""

from collections.abc import Mapping
from pathlib import Path

from apps.appengine import queue_yaml
from apps.appengine.deploy import history, queues
from apps.appengine.deploy.release import Release


def seconds(value: float) -> str:
    """A duration as gcloud reads it: 0.1s, 3600s."""
    return f"{value:f}".rstrip("0").rstrip(".") + "s"


def flags(queue: queue_yaml.Queue) -> list[str]:
    """Everything that can be set. A limit of retries is one less than a number of attempts."""
    retry = queue.retry_parameters
    limit, age = retry.task_retry_limit, retry.task_age_limit
    found = [
        f"--max-concurrent-dispatches={queue.max_concurrent_requests}",
        f"--max-attempts={'unlimited' if limit is None else limit + 1}",
        f"--max-retry-duration={'unlimited' if age is None else seconds(age)}",
        f"--min-backoff={seconds(retry.min_backoff_seconds)}",
        f"--max-backoff={seconds(retry.max_backoff_seconds)}",
        f"--max-doublings={retry.max_doublings}",
    ]
    if queue.rate:
        found.insert(0, f"--max-dispatches-per-second={queue.rate:g}")
    return found


def existing(release: Release) -> dict[str, str]:
    """The state of each queue there is."""
    words = ["tasks", "queues", "list", f"--location={release.deployment.region}", "--format=json"]
    unknown = [{"name": name} for name in queue_yaml.read(queues.QUEUES)]
    return queues.states(release.shell.ask_json(release.gcloud(*words), unknown) or [])


def upload(release: Release, folder: str = "") -> None:
    """Make the queues those of queue.yaml, in this tree or in a folder of the release.

    If it comes to that, those of the version before.
    """
    old, new = release.folder / "before" / "queue.yaml", release.folder / folder / "queue.yaml"
    if history.has(release, "queue.yaml"):
        release.undoing.later(
            f"the queues are those of {release.serving} again",
            lambda: apply(release, queues.QUEUES if release.shell.dry else old),
        )
    else:
        release.undoing.stays("The queues stay as queue.yaml says: no file of a version before is known.")
    apply(release, new if folder and not release.shell.dry else queues.QUEUES)


def apply(release: Release, path: Path) -> None:
    """Create or update each queue of the file, pause the others but `default`."""
    wanted, now = queue_yaml.read(path), existing(release)
    for queue in wanted.values():
        call(release, "update" if queue.name in now else "create", queue.name, *flags(queue))
        set_state(release, now, queue.name, running=bool(queue.rate))
    for name in sorted(set(now) - set(wanted) - {"default"}):
        set_state(release, now, name, running=False)


def set_state(release: Release, now: Mapping[str, str], name: str, *, running: bool) -> None:
    was_running = now.get(name, "RUNNING") == "RUNNING"
    if running != was_running:
        call(release, "resume" if running else "pause", name)


def call(release: Release, verb: str, name: str, *flags: str) -> None:
    location = f"--location={release.deployment.region}"
    release.shell.run(release.gcloud("tasks", "queues", verb, name, location, *flags))
