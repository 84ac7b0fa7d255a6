"""`make deploy` and `make rollback`: read the options, make the plan, carry it out.

python -m apps.appengine.deploy deploy
python -m apps.appengine.deploy rollback
"""

import os
import sys
from collections.abc import Mapping

from apps.appengine.deploy import app_engine, cloud_run, deployment, options, plan, rollback
from apps.appengine.deploy.release import Release
from apps.appengine.deploy.shell import FailedError, Shell

PLANS = {
    ("deploy", "appengine"): app_engine.plan,
    ("deploy", "cloudrun"): cloud_run.plan,
    ("rollback", "appengine"): rollback.app_engine_plan,
    ("rollback", "cloudrun"): rollback.cloud_run_plan,
}


def prepared(environ: Mapping[str, str]) -> Release:
    """A release that has not begun. Raises FailedError."""
    chosen = options.read(environ)
    shell = Shell(dry=chosen.dry_run)
    return Release(chosen, shell, plan.Undoing(shell), deployment.unknown(chosen.project))


def main(words: list[str], environ: Mapping[str, str]) -> int:
    """The exit code: 0, 1, 2 for a mistake in the call, or 128 and the number of a signal."""
    if words not in (["deploy"], ["rollback"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        release = prepared(environ)
    except FailedError as error:
        print(error, file=sys.stderr)
        return 2
    steps = PLANS[words[0], release.options.target](release)
    if release.shell.dry:
        release.shell.say(f"The plan to {words[0]} {release.project}. Nothing of it is run.")
    code = plan.carry_out(steps, release.undoing)
    if code == 0 and not release.shell.dry:
        release.shell.say(f"\nDone: {release.version} serves.")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
