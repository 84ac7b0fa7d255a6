"""Where Google's emulators and ours cannot be compared, and who says which is right.

docs/decisions/0015-where-the-embedded-datastore-differs.md says the same to readers; a test keeps them equal.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.datastores import DATASTORE_EMULATOR, FIRESTORE_EMULATOR
from tests.functional.datastore.steps import (
    Aggregate,
    Combined,
    Commit,
    Count,
    Fetch,
    Filter,
    Interleaved,
    Outside,
    Pages,
    Program,
    Properties,
    Put,
    Query,
    Step,
    Transaction,
    Value,
    Where,
)


@dataclass(frozen=True)
class Difference:
    name: str
    side: str  # the emulator that is not compared
    reason: str
    documentation: str
    applies: Callable[[Program, Step], bool]


def parts(step: Step) -> Iterator[Step]:
    """The step and those in it."""
    yield step
    inner: tuple[Step, ...] = ()
    match step:
        case Transaction():
            inner = step.steps
        case Interleaved():
            inner = step.first + step.second
        case Outside():
            inner = (step.step,)
        case Pages():
            inner = step.between
    for part in inner:
        yield from parts(part)


def queries(step: Step) -> Iterator[Query]:
    for part in parts(step):
        if isinstance(part, Fetch | Count | Pages | Aggregate):
            yield part.query


def wheres(where: Filter | None) -> Iterator[Where]:
    if isinstance(where, Combined):
        for part in where.parts:
            yield from wheres(part)
    elif where:
        yield where


def aggregates(_: Program, step: Step) -> bool:
    return any(isinstance(part, Aggregate) for part in parts(step))


def overlaps(_: Program, step: Step) -> bool:
    return any(isinstance(part, Interleaved | Outside) for part in parts(step))


def newer_filter(_: Program, step: Step) -> bool:
    """Operators and shapes of 2022 and later."""
    for query in queries(step):
        found = list(wheres(query.where))
        unequal = {where.name for where in found if where.operator in ("<", "<=", ">", ">=", "!=", "not_in")}
        if len(unequal) > 1 or {"!=", "not_in", "in"} & {where.operator for where in found}:
            return True
        if unequal and query.order and query.order[0].removeprefix("-") not in unequal:
            return True
    return any(has_or(query.where) for query in queries(step))


def has_or(where: Filter | None) -> bool:
    return isinstance(where, Combined) and (where.operator == "or" or any(map(has_or, where.parts)))


def values(step: Step) -> Iterator[Value]:
    """Of all properties that the step writes, those of arrays and embedded entities too."""
    for part in parts(step):
        written: list[Properties] = []
        match part:
            case Put():
                written = [entity.properties for entity in part.entities]
            case Commit():
                written = [mutation.entity.properties for mutation in part.mutations]
        for properties in written:
            for value in properties.values():
                yield from flattened(value)


def flattened(value: Value) -> Iterator[Value]:
    yield value
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    for part in inner:
        yield from flattened(part)


def finds_empty_arrays(program: Program, step: Step) -> bool:
    return any(queries(step)) and any(value == [] for each in program for value in values(each))


def finds_arrays(program: Program, step: Step) -> bool:
    """An order or a range of a property that has several values in some entity."""
    several = any(isinstance(value, list) and len(value) > 1 for each in program for value in values(each))
    return several and any(
        query.order or any(where.operator != "=" for where in wheres(query.where)) for query in queries(step)
    )


def ends_read_only(_: Program, step: Step) -> bool:
    return any(
        isinstance(part, Transaction) and part.read_only and not part.rolled_back for part in parts(step)
    )


def orders_beyond_16_bits(program: Program, step: Step) -> bool:
    text = repr(program)
    return any(queries(step)) and "\U0001f600" in text and "\\uffff" in text


def kindless_projection(_: Program, step: Step) -> bool:
    return any(query.kind is None and query.projection for query in queries(step))


def detects_conflicts(_: Program, step: Step) -> bool:
    return isinstance(step, Commit) and any(mutation.base == "stale" for mutation in step.mutations)


def repeats_an_entity(_: Program, step: Step) -> bool:
    keys = [mutation.entity.key for mutation in step.mutations] if isinstance(step, Commit) else []
    return len(set(keys)) < len(keys)


def kindless_in_transaction(_: Program, step: Step) -> bool:
    return isinstance(step, Transaction) and any(query.kind is None for query in queries(step))


DIFFERENCES = [
    Difference("empty arrays", DATASTORE_EMULATOR, "", "", finds_empty_arrays),
    Difference("several values", FIRESTORE_EMULATOR, "", "", finds_arrays),
    Difference("no aggregation", DATASTORE_EMULATOR, "", "", aggregates),
    Difference("no newer filters", DATASTORE_EMULATOR, "", "", newer_filter),
    Difference("surrogates", DATASTORE_EMULATOR, "", "", orders_beyond_16_bits),
    Difference("sequences", DATASTORE_EMULATOR, "", "", repeats_an_entity),
    Difference("kindless projection", FIRESTORE_EMULATOR, "", "", kindless_projection),
    Difference("read-only commit", FIRESTORE_EMULATOR, "", "", ends_read_only),
    Difference("base version", FIRESTORE_EMULATOR, "", "", detects_conflicts),
    Difference("kindless query in a transaction", FIRESTORE_EMULATOR, "", "", kindless_in_transaction),
    Difference("locks", FIRESTORE_EMULATOR, "", "", overlaps),
]
