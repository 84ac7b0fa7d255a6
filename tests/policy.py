"""checkov's word on terraform/: run by `make check`, five seconds, no network once it is installed.

    python -m tests.policy

checkov knows some hundred mistakes that open a project to others or lose data. Where one is meant, the file
says so beside it, with the reason: `#checkov:skip=ID:reason`. What cannot be installed is said, and is a
failure in CI (where the variable CI is set).
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from apps.appengine.local import environment

TERRAFORM = environment.ROOT / "terraform"
CHECKOV = environment.POLICY / "bin" / "checkov"


@dataclass(frozen=True)
class Scan:
    """What checkov found: lines `ID resource: what should be`, and how much it looked at."""

    failed: list[str]
    excepted: set[str]  # ids
    passed: int
    unread: int  # files that it could not parse, of which it says no more than how many


def main() -> int:
    """The exit code."""
    try:
        environment.install_policy()
    except environment.SetupError as error:
        sys.stdout.write(f"not run: the policy scan of terraform/ ({error})\n")
        return int(bool(os.environ.get("CI")))
    found = scan(TERRAFORM)
    for line in found.failed:
        sys.stdout.write(f"{line}\n")
    if found.unread:
        sys.stdout.write(
            f"checkov cannot read {found.unread} files; its grammar is older than Terraform's.\n"
        )
    sys.stdout.write(
        f"checkov on terraform/: {found.passed} passed, {len(found.failed)} failed, "
        f"{len(found.excepted)} kinds excepted in the files.\n"
    )
    return int(bool(found.failed or found.unread or not found.passed))


def is_installed() -> bool:
    return environment.is_stamped(environment.POLICY, environment.POLICY_REQUIREMENTS)


def scan(folder: Path) -> Scan:
    """Have checkov look at the files in a folder. Raises AssertionError when it does not get that far."""
    options = ["--framework", "terraform", "--skip-download", "--compact", "--output", "json"]
    done = subprocess.run(
        [CHECKOV, "--directory", folder, *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LOG_LEVEL": "ERROR"},
    )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    report = json.loads(done.stdout)
    results = report["results"]
    return Scan(
        failed=[
            f"{one['check_id']} {one['resource']}: {one['check_name']}" for one in results["failed_checks"]
        ],
        excepted={one["check_id"] for one in results["skipped_checks"]},
        passed=report["summary"]["passed"],
        unread=report["summary"]["parsing_errors"],
    )


if __name__ == "__main__":
    sys.exit(main())
