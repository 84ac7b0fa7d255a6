"""The same random programs on ours and on Google's two emulators are observed alike."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests import datastores
from tests.datastores import DATASTORE_EMULATOR, EMBEDDED, FIRESTORE_EMULATOR, Datastore
from tests.functional.datastore.differences import DIFFERENCES
from tests.functional.datastore.programs import programs
from tests.functional.datastore.queries import first_queries, kindless_queries
from tests.functional.datastore.run import Observation, Runner
from tests.functional.datastore.steps import (
    Entity,
    Fetch,
    Key,
    Operator,
    Program,
    Put,
    Query,
    Step,
    Value,
    Where,
)
from tests.functional.datastore.walk import changes
from tests.functional.datastore.worlds import COMMON, UNUSUAL, worlds

EXAMPLES = int(os.environ.get("DATASTORE_EXAMPLES", "40"))
DECISION = Path(__file__).parents[3] / "docs/decisions/0016-where-the-embedded-datastore-differs.md"
NO_INDEXES = "indexes: []\n"


class Side:
    """A Datastore that runs, with its clients."""

    def __init__(self, datastore: Datastore, indexes: Path | None = None) -> None:
        self.datastore, self.indexes = datastore, indexes
        self.runner = Runner(datastore.host)

    def observe(self, program: Program) -> list[Observation]:
        """What an empty Datastore shows that has every index it asks for."""
        known: list[str] = []
        while True:
            if self.indexes:
                self.indexes.write_text("indexes:\n" + "".join(known) if known else NO_INDEXES)
            self.datastore.reset()
            self.runner.refusals.clear()
            observed = self.runner.run(program)
            if not self.runner.refusals:
                return observed
            new = {named_index(refusal) for refusal in self.runner.refusals} - set(known)
            if not new:  # the index that was named does not serve
                return observed
            known += new


def named_index(refusal: str) -> str:
    """The entry of index.yaml in the message."""
    found = re.search(r"^ *- kind:.*(?:\n[ -].*)*", refusal, re.MULTILINE)
    assert found, f"names no index: {refusal}"
    return f"{found[0]}\n"


def require(*names: str) -> None:
    """Skip the test where an emulator is missing; in CI that is a failure."""
    if reason := "; ".join(filter(None, map(datastores.missing, names))):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Side]]:
    """All three, by name."""
    require(DATASTORE_EMULATOR, FIRESTORE_EMULATOR)
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


def is_compared(program: Program, step: Step, side: str, seen: Observation = None) -> bool:
    return not any(each.side == side and each.applies(program, step, seen) for each in DIFFERENCES)


def comparable(program: Program, side: str) -> Program:
    """The program up to a change that the side cannot be compared by: from there on their data differ."""
    for number, step in enumerate(program):
        if not is_compared(program, step, side) and changes(step):
            return program[:number]
    return program


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
        if mine != their and is_compared(program, step, name, their)
    ]


search = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@search
@given(program=programs())
def test_random_programs_are_observed_alike(sides: dict[str, Side], program: Program) -> None:
    ours = sides[EMBEDDED].observe(program)
    for name in (DATASTORE_EMULATOR, FIRESTORE_EMULATOR):
        assert not differing(program, ours, sides[name]), name


@pytest.mark.parametrize("beyond", [[], ["\U0001f600"]], ids=["", "beyond 16 bits"])
def test_every_value_is_compared_alike_with_every_other(sides: dict[str, Side], beyond: list[Value]) -> None:
    values = [value for value in (*COMMON, *UNUSUAL) if value != "\U0001f600"] + beyond
    entities = [Entity(Key(("Ant", number)), {"a": value}) for number, value in enumerate(values, 1)]
    operators: list[Operator] = ["=", "<", "<=", ">", ">=", "!="]
    filters = [None, *(Where("a", operator, value) for operator in operators for value in values)]
    program: Program = (
        Put(tuple(entities), "api"),
        *(Fetch(Query("Ant", where=each), "api") for each in filters),
    )
    ours = sides[EMBEDDED].observe(program)
    for name in (DATASTORE_EMULATOR, FIRESTORE_EMULATOR):
        assert not differing(program, ours, sides[name]), name


@pytest.fixture(scope="module")
def without_indexes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Runner]]:
    """Ours and the emulator that enforces indexes, with an index.yaml that lists none."""
    require(DATASTORE_EMULATOR)
    indexes = tmp_path_factory.mktemp("no-indexes") / "index.yaml"
    indexes.write_text(NO_INDEXES)
    with ExitStack() as stack:
        names = (EMBEDDED, DATASTORE_EMULATOR)
        yield [Runner(stack.enter_context(datastores.running(name, indexes)).host) for name in names]


@search
@given(query=worlds().flatmap(lambda world: first_queries(world) | kindless_queries(world)))
def test_the_same_queries_need_an_index(without_indexes: list[Runner], query: Query) -> None:
    program = (Fetch(query, "api"),)
    assume(is_compared(program, program[0], DATASTORE_EMULATOR))
    ours, theirs = (runner.run(program) for runner in without_indexes)
    assert ours == theirs


@pytest.mark.skipif(not DECISION.parent.exists(), reason="docs/start-your-own.md deletes the decisions")
def test_the_decision_lists_the_differences() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| <(.+?)> \|$", DECISION.read_text(), re.MULTILINE)
    assert rows == [(each.name, each.side, each.reason, each.documentation) for each in DIFFERENCES]
