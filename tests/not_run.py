"""A pytest plugin: what was skipped, for the one closing line of `./test`.

    NOT_RUN=FILE pytest -p tests.not_run

Nothing is skipped but what cannot run on this machine, with the cause as its reason. FILE gets a line of
JSON for each: the test and the cause.
"""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

FILE = "NOT_RUN"

type Skipped = dict[str, set[str]]  # the ids of tests, by cause

found: Skipped = defaultdict(set)


def note(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Keep what was skipped, and why."""
    if report.skipped and isinstance(report.longrepr, tuple):
        cause = report.longrepr[2].removeprefix("Skipped: ")
        found[cause].add(report.nodeid)


pytest_runtest_logreport = note
pytest_collectreport = note


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file; the processes of pytest-xdist send their reports to the first one."""
    if not hasattr(session.config, "workerinput") and (path := os.environ.get(FILE)):
        with Path(path).open("a") as file:
            file.writelines(
                json.dumps([test, cause]) + "\n" for cause, tests in found.items() for test in sorted(tests)
            )


def read(path: Path) -> list[tuple[str, str]]:
    """What one or more runs have written, each cause once: `2 tests of tests/x.py`, and the cause."""
    skipped: Skipped = defaultdict(set)
    for line in path.read_text().splitlines() if path.exists() else []:
        test, cause = json.loads(line)
        skipped[cause].add(test)
    return [(counted(tests), cause) for cause, tests in sorted(skipped.items())]


def counted(tests: set[str]) -> str:
    """How many, and the file or the folder that holds them all."""
    place = os.path.commonpath(test.partition("::")[0] for test in tests)
    return f"{len(tests)} test{'s' * (len(tests) > 1)} of {place}"
