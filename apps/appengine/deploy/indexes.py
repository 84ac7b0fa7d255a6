"""Wait until every composite index of Datastore is ready: a query without its index fails.

    python -m apps.appengine.deploy.indexes PROJECT

An index over many entities takes hours to build. Nothing has changed for anybody by then: stop it, and run
the same deployment again later.
"""

import collections
import json
import subprocess
import sys
import time

from apps.appengine.deploy.command import Command, gcloud

EVERY_S = 10.0


def listing(project: str) -> Command:
    return gcloud(project, "datastore", "indexes", "list", "--format=json")


def counted(project: str) -> dict[str, int]:
    """How many indexes are in each state. Raises subprocess.CalledProcessError."""
    answer = subprocess.run(listing(project).words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(collections.Counter(index.get("state", "READY") for index in json.loads(answer or "[]")))


def wait(project: str, every: float = EVERY_S) -> int:
    """0 when all are ready, 1 when one cannot be built."""
    said: dict[str, int] = {}
    while True:
        states = counted(project)
        if states != said:
            print(
                ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "no indexes",
                flush=True,
            )
            said = states
        if states.get("ERROR"):
            print("An index cannot be built: `gcloud datastore indexes list` names it.", file=sys.stderr)
            return 1
        if not states.get("CREATING"):
            return 0
        time.sleep(every)


if __name__ == "__main__":
    sys.exit(wait(sys.argv[1]))
