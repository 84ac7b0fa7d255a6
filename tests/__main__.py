"""`./test`: every test, the core on other databases too, then one line about what could not run.

    python -m tests [TESTS]

With TESTS only those run. What is missing on a developer's machine is named in the last line; in CI
(where the variable CI is set) that line is a failure.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from apps.appengine.local import environment
from tests import datastores, not_run, with_services

PYTEST = [sys.executable, "-m", "pytest", "--quiet", "-n", "4", "--dist", "worksteal", "-p", "tests.not_run"]
# What touches SQL or the cache; what docs/start-your-own.md has deleted is left out.
CORE = [
    *(f"tests/unit/{app}" for app in ("core", "accounts", "applications", "deliveries", "api")),
    "tests/functional/test_costs.py",
]
# Google's strict one. Its other emulator takes minutes for what contends; tests/functional drives it.
DATASTORE = datastores.DATASTORE_EMULATOR
SERVICES = (["postgresql", "redis"], ["postgresql"], ["redis"])


def main(tests: list[str]) -> int:
    """The exit code: that of the first pytest that failed, else 1 if in CI anything was not run."""
    with tempfile.TemporaryDirectory() as folder:
        skipped = Path(folder) / "skipped"
        os.environ[not_run.FILE] = str(skipped)
        code, missing = run_tests(tests)
        missing = not_run.read(skipped) + missing
    if missing:
        sys.stdout.write(closing_line(missing))
    return code or int(bool(missing and os.environ.get("CI")))


def closing_line(missing: list[tuple[str, str]]) -> str:
    """What was not run, by its cause."""
    causes = {cause: [what for what, its in missing if its == cause] for _, cause in missing}
    return f"not run: {'; '.join(f'{", ".join(whats)} ({cause})' for cause, whats in causes.items())}\n"


def run_tests(tests: list[str]) -> tuple[int, list[tuple[str, str]]]:
    """The exit code, and what was not run for which cause. After a failure nothing more is run."""
    if tests:
        return subprocess.run([*PYTEST, *tests], check=False).returncode, []
    install_what_lacks()
    code, missing = subprocess.run(PYTEST, check=False).returncode, []
    core = [*PYTEST, *filter(os.path.exists, CORE)]
    for names in SERVICES:
        try:
            code = code or with_services.run(names, core)
        except with_services.ServiceMissing as error:
            missing.append((f"the core on {' and '.join(names)}", str(error)))
    if cause := datastores.missing(DATASTORE):
        missing.append((f"the core on Google's {DATASTORE}", cause))
    else:
        variables = os.environ | {"TEST_DATASTORE": DATASTORE}
        code = code or subprocess.run(core, env=variables, check=False).returncode
    return code, missing


def install_what_lacks() -> None:
    """The services that the system has not come from PyPI. What cannot be installed is said in the end."""
    if all(map(with_services.in_system, with_services.SERVICES)):
        return
    try:
        environment.install_services()
    except environment.SetupError as error:
        sys.stdout.write(f"{error}\n")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # pytest has said so itself
        sys.exit(130)
