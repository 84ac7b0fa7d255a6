"""The same random programs on ours and on Google's two emulators are observed alike."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests import datastores
from tests.datastores import DATASTORE_EMULATOR, EMBEDDED, FIRESTORE_EMULATOR, Datastore
from tests.functional.datastore.differences import DIFFERENCES
from tests.functional.datastore.programs import programs
from tests.functional.datastore.run import Observation, Runner
from tests.functional.datastore.steps import (
    Aggregate,
    Count,
    Fetch,
    Get,
    Outside,
    Pages,
    Program,
    Step,
    Transaction,
)

EXAMPLES = int(os.environ.get("DATASTORE_EXAMPLES", "60"))
READS = Aggregate | Count | Fetch | Get
NO_INDEXES = "indexes: []\n"
TRIES = 4  # a program's later queries are known to need an index once its earlier ones have theirs


class Side:
    """A Datastore that runs, with its clients."""

    def __init__(self, datastore: Datastore, indexes: Path | None = None) -> None:
        self.datastore, self.indexes = datastore, indexes
        self.runner = Runner(datastore.host)

    def observe(self, program: Program) -> list[Observation]:
        """What an empty Datastore shows that has every index it asks for."""
        known: list[str] = []
        for _ in range(TRIES if self.indexes else 1):
            if self.indexes:
                self.indexes.write_text("indexes:\n" + "".join(known) if known else NO_INDEXES)
            self.datastore.reset()
            self.runner.refusals.clear()
            observed = self.runner.run(program)
            if not self.runner.refusals:
                return observed
            known += [index for index in map(named_index, self.runner.refusals) if index not in known]
        return observed


def named_index(refusal: str) -> str:
    """The entry of index.yaml in the message."""
    found = re.search(r"^ *- kind:.*(?:\n[ -].*)*", refusal, re.MULTILINE)
    assert found, f"names no index: {refusal}"
    return f"{found[0]}\n"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Side]]:
    """All three, by name."""
    if reason := "; ".join(filter(None, map(datastores.missing, (DATASTORE_EMULATOR, FIRESTORE_EMULATOR)))):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    indexes = tmp_path_factory.mktemp("indexes") / "index.yaml"
    indexes.write_text(NO_INDEXES)
    with ExitStack() as stack:
        yield {
            EMBEDDED: Side(stack.enter_context(datastores.running(EMBEDDED, indexes)), indexes),
            **{
                name: Side(stack.enter_context(datastores.running(name)))
                for name in (DATASTORE_EMULATOR, FIRESTORE_EMULATOR)
            },
        }


def is_compared(program: Program, step: Step, side: str) -> bool:
    return not any(each.side == side and each.applies(program, step) for each in DIFFERENCES)


def comparable(program: Program, side: str) -> Program:
    """The program up to a change that the side cannot be compared by: from there on their data differ."""
    for number, step in enumerate(program):
        if not is_compared(program, step, side) and changes(step):
            return program[:number]
    return program


def changes(step: Step) -> bool:
    """Whether the data may be others afterwards."""
    if isinstance(step, Transaction) and step.read_only:
        return any(isinstance(part, Outside) for part in step.steps)
    return not isinstance(step, READS) and not (isinstance(step, Pages) and not step.between)


def differing(
    program: Program, ours: list[Observation], side: Side
) -> list[tuple[Step, Observation, Observation]]:
    """Steps, with what ours showed and what the other did."""
    name = side.datastore.name
    prefix = comparable(program, name)
    theirs = side.observe(prefix)
    return [
        (step, mine, their)
        for step, mine, their in zip(prefix, ours, theirs, strict=False)
        if mine != their and is_compared(program, step, name)
    ]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(program=programs())
def test_random_programs_are_observed_alike(sides: dict[str, Side], program: Program) -> None:
    ours = sides[EMBEDDED].observe(program)
    for name in (DATASTORE_EMULATOR, FIRESTORE_EMULATOR):
        assert not differing(program, ours, sides[name]), name
