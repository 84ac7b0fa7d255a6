"""What an upload of queue.yaml would do to the queues there are, found out before it does it.

gcloud pauses every queue that the file does not list (all but `default`) and resumes every paused one that
it does list. The first stops the work of code that still runs, the second undoes what somebody did in an
emergency; neither is said by gcloud.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from apps.appengine import queue_yaml
from apps.appengine.deploy.options import Options
from apps.appengine.deploy.release import Release
from apps.appengine.deploy.shell import FailedError

QUEUES = Path("queue.yaml")


def states(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The state of each queue by its name, of `gcloud tasks queues list --format=json`."""
    return {queue["name"].rpartition("/")[2]: queue.get("state", "RUNNING") for queue in listed}


def would_pause(now: Mapping[str, str], new: Iterable[str]) -> set[str]:
    """Running queues that the file does not list."""
    return {name for name, state in now.items() if state == "RUNNING"} - set(new) - {"default"}


def would_resume(now: Mapping[str, str], new: Iterable[str], old: Iterable[str]) -> set[str]:
    """Queues that somebody paused by hand and the file lists.

    One that the release before does not list was paused by an upload of its file: resuming it is meant.
    """
    return {name for name, state in now.items() if state != "RUNNING"} & set(new) & set(old)


def guard(release: Release) -> None:
    """Raises FailedError naming the queues whose state would change without anybody having said so."""
    location = release.deployment.region
    answer = release.shell.ask_json(
        release.gcloud("tasks", "queues", "list", f"--location={location}", "--format=json"), unknown=[]
    )
    new, old = queue_yaml.read(QUEUES), release.folder / "before" / "queue.yaml"
    listed_before = queue_yaml.read(old) if release.serving and old.exists() else new
    findings = refused(states(answer or []), list(new), list(listed_before), release.options)
    if findings:
        raise FailedError(" ".join(findings))


def refused(now: Mapping[str, str], new: list[str], old: list[str], options: Options) -> list[str]:
    """A sentence for each kind of change that nobody has agreed to."""
    pause = would_pause(now, new) - options.disable_queues
    resume = would_resume(now, new, old) - options.resume_queues
    sentences = []
    if pause:
        sentences.append(
            f"queue.yaml does not list {', '.join(sorted(pause))}, so uploading it would pause them and keep "
            "their tasks. List them for one more release, until nothing enqueues to them, or say "
            f"DISABLE_QUEUES={','.join(sorted(pause))}."
        )
    if resume:
        sentences.append(
            f"Somebody has paused {', '.join(sorted(resume))}, and uploading queue.yaml would resume them. "
            f"Resume them first, or say RESUME_QUEUES={','.join(sorted(resume))}."
        )
    return sentences
