"""Watch a version while it takes traffic: it must stay ready, and its log must be free of server errors.

    python -m apps.appengine.deploy.watch URL FILTER --project=PROJECT --seconds=60 --allowed=3

FILTER is Cloud Logging's for the version. Tasks and cron do not count: a task that answers 500 asks to come
again.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime

from apps.appengine.deploy.command import Command, gcloud
from apps.appengine.deploy.release import Release
from apps.appengine.deploy.smoke import UnwellError, get

EVERY_S = 10.0
ERRORS = (
    '(protoPayload.status>=500 OR httpRequest.status>=500) AND NOT protoPayload.resource:"/_" '
    'AND NOT httpRequest.requestUrl:"/_tasks/" AND NOT httpRequest.requestUrl:"/_cron/"'
)


def run(release: Release, url: str, resource: str) -> None:
    """The step's command. Raises FailedError."""
    seconds, allowed = release.options.settle, release.options.allowed_errors
    words = [url, resource, f"--project={release.project}", f"--seconds={seconds}", f"--allowed={allowed}"]
    release.shell.run(release.module("watch", *words))


def reading(project: str, resource: str, since: datetime) -> Command:
    query = f'{resource} AND timestamp>="{since:%Y-%m-%dT%H:%M:%SZ}" AND {ERRORS}'
    return gcloud(project, "logging", "read", query, "--limit=50", "--format=json")


def errors(project: str, resource: str, since: datetime) -> list[str]:
    """The server errors logged since then. Raises UnwellError when gcloud fails."""
    command = reading(project, resource, since)
    done = subprocess.run(command.words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnwellError(f"`{command}` ended with exit code {done.returncode}: {done.stderr.strip()}")
    return [json.dumps(entry)[:300] for entry in json.loads(done.stdout or "[]")]


def watch(url: str, resource: str, project: str, seconds: float, allowed: int) -> None:
    """Raises UnwellError as soon as it is not well."""
    since, deadline = datetime.now(UTC), time.monotonic() + seconds
    while True:
        ready(url)
        found = errors(project, resource, since)
        if len(found) > allowed:
            raise UnwellError(f"{len(found)} server errors, {allowed} are borne. The last one: {found[0]}")
        if time.monotonic() >= deadline:
            print(f"Ready, and {len(found)} server errors, in {seconds:g} s.")
            return
        time.sleep(min(EVERY_S, max(deadline - time.monotonic(), 0.0)))


def ready(url: str) -> None:
    """Readiness, asked a second time: one probe may meet a store in a bad moment."""
    try:
        get(url)
    except UnwellError:
        time.sleep(1)
        get(url)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("filter")
    parser.add_argument("--project", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--allowed", type=int, required=True)
    arguments = parser.parse_args()
    try:
        watch(arguments.url, arguments.filter, arguments.project, arguments.seconds, arguments.allowed)
    except UnwellError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
