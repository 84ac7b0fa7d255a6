"""`make run`: everything App Engine runs in production, on one machine and without an account.

TASKS_TARGET=http makes it everything that Cloud Run runs: the container's start command, OIDC tokens.
PORT (8080) is where it answers, LOCAL_HOME (.local) what it keeps. DATASTORE_EMULATOR_HOST and
CLOUD_TASKS_EMULATOR_HOST, where they are set, name parts that run already.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from . import preflight
from .console import Console
from .programs import Run
from .supervisor import Supervisor


def prepare(sockets: Path) -> Run:
    """Take the folder and the port. Raises RefusedError."""
    root = Path.cwd()
    if not (root / "app.yaml").exists():
        raise preflight.RefusedError(
            f"There is no app.yaml in {root}. Run this in the folder of the project."
        )
    home = Path(os.environ.get("LOCAL_HOME") or root / ".local").resolve()
    port = os.environ.get("PORT") or "8080"
    if not port.isdecimal():
        raise preflight.RefusedError(f"PORT must be a number, not {port!r}.")
    lock = preflight.lock(home)
    return Run(root, home, sockets, int(port), preflight.listen(int(port)), lock)


async def supervise(run: Run) -> int:
    return await Supervisor(run, Console()).supervise()


def main() -> int:
    # Private (0700), and short: the address of a unix socket has 108 bytes.
    with tempfile.TemporaryDirectory(prefix="run-") as sockets:
        try:
            run = prepare(Path(sockets))
        except (preflight.RefusedError, ValueError) as error:
            print(error, file=sys.stderr)  # noqa: T201  the sentence is the answer
            return 1
        return asyncio.run(supervise(run))


if __name__ == "__main__":
    sys.exit(main())
