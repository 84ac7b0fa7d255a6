"""The task of the smoke step: what a new version can reach, asked from inside it, as its tasks will run.

`make deploy` queues it for a version that takes no traffic yet, and takes the release back if it fails.
"""

import asyncio
import os

from django.tasks import task

from apps.appengine import health

DEADLINE = 20.0  # seconds for every store at once: the first connections of a new instance are slow


class UnreachableError(Exception):
    """A store did not answer; the message says which, and how."""


class WrongVersionError(Exception):
    """The task ran elsewhere than in the version it was to try."""


@task()
def smoke(version: str) -> None:
    """Every store answers, and this is the version meant. Raises UnreachableError or WrongVersionError.

    A Cloud Run revision is called SERVICE-VERSION.
    """
    here = os.environ.get("GAE_VERSION") or os.environ.get("K_REVISION") or ""
    if not here.endswith(version):
        raise WrongVersionError(f"This is {here or 'no version'}, not {version}.")
    checks = asyncio.run(health.ask_all(DEADLINE))
    if failed := {name: check["error"] for name, check in checks.items() if not check["ok"]}:
        raise UnreachableError(", ".join(f"{name}: {error}" for name, error in failed.items()))
