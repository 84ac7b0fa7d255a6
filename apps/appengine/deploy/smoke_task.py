"""One task that runs in the new version and asks every store: apps.appengine.smoke.smoke.

python -m apps.appengine.deploy.smoke_task wait|delete NAME --location=REGION --project=PROJECT
"""

import argparse
import json
import subprocess
import sys
import time

from apps.appengine.deploy.command import Command, gcloud
from apps.appengine.deploy.release import Release

QUEUE = "default"
TASK = "apps.appengine.smoke.smoke"
PATH = f"/_tasks/{QUEUE}/{TASK}"
WAIT_S = 120.0  # shorter than the retries of the queue last, so that a task that is gone was done


def body(version: str) -> str:
    """What the task route reads: apps.appengine.tasks.body.Body."""
    fields = {"task": TASK, "args": [version], "kwargs": {}, "id": f"smoke-{version}", "backend": "default"}
    return json.dumps(fields)


def run(release: Release, create: str, *target: str) -> None:
    """Queue the task and wait until it is done. `target` says to gcloud where it goes."""
    name, file = f"smoke-{release.version}", release.folder / "smoke-task.json"
    place = [f"--location={release.deployment.region}", f"--project={release.project}"]
    release.shell.write(file, body(release.version))
    # A task that fails comes again and again, also when its version is gone.
    release.undoing.later(
        f"no task {name} is left in the queue",
        lambda: release.shell.run(release.module("smoke_task", "delete", name, *place)),
    )
    words = ["tasks", create, name, f"--queue={QUEUE}", place[0], "--method=POST", *target]
    request = ["--header=Content-Type:application/json", f"--body-file={file}"]
    release.shell.run(release.gcloud(*words, *request))
    release.shell.run(release.module("smoke_task", "wait", name, *place))


def task_command(project: str, verb: str, name: str, location: str) -> Command:
    place = [f"--queue={QUEUE}", f"--location={location}"]
    return gcloud(project, "tasks", verb, name, *place, "--format=json")


def call(project: str, verb: str, name: str, location: str) -> tuple[bool, str]:
    """Whether the task is there, and what gcloud printed. Raises RuntimeError when gcloud fails."""
    command = task_command(project, verb, name, location)
    done = subprocess.run(command.words, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return True, done.stdout
    if "NOT_FOUND" in done.stderr:
        return False, ""
    raise RuntimeError(f"`{command}` ended with exit code {done.returncode}: {done.stderr.strip()}")


def wait(project: str, name: str, location: str, seconds: float = WAIT_S) -> int:
    """0 when the task is gone, which it is when it was done; 1 after that time, with what is known."""
    deadline = time.monotonic() + seconds
    while True:
        there, answer = call(project, "describe", name, location)
        if not there:
            print("The task was done: every store answered it.")
            return 0
        if time.monotonic() > deadline:
            task = json.loads(answer)
            print(
                f"After {seconds:g} s the task {name} is still there, after {task.get('dispatchCount', 0)} "
                f"attempts; the last: {json.dumps(task.get('lastAttempt', {}))}. Its log names the store.",
                file=sys.stderr,
            )
            return 1
        time.sleep(2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("wait", "delete"))
    parser.add_argument("name")
    parser.add_argument("--location", required=True)
    parser.add_argument("--project", required=True)
    arguments = parser.parse_args()
    if arguments.verb == "wait":
        return wait(arguments.project, arguments.name, arguments.location)
    call(arguments.project, "delete", arguments.name, arguments.location)
    return 0


if __name__ == "__main__":
    sys.exit(main())
