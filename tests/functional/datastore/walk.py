"""What is in a step: its parts, queries, filters and values."""

from collections.abc import Iterator

from tests.functional.datastore.steps import (
    Aggregate,
    Back,
    Combined,
    Commit,
    Count,
    Fetch,
    Filter,
    Get,
    Interleaved,
    Outside,
    Pages,
    Properties,
    Put,
    Query,
    Step,
    Transaction,
    Value,
    Where,
)


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
        if isinstance(part, Fetch | Count | Pages | Back | Aggregate):
            yield part.query


def wheres(where: Filter | None) -> Iterator[Where]:
    """The comparisons."""
    if isinstance(where, Combined):
        for part in where.parts:
            yield from wheres(part)
    elif where:
        yield where


def has_or(where: Filter | None) -> bool:
    return isinstance(where, Combined) and (where.operator == "or" or any(map(has_or, where.parts)))


def bare(order: tuple[str, ...]) -> tuple[str, ...]:
    """The names, without directions."""
    return tuple(name.removeprefix("-") for name in order)


def written(step: Step) -> Iterator[Value]:
    """The values of all properties that the step writes, those of arrays and embedded entities too."""
    for part in parts(step):
        all_properties: list[Properties] = []
        match part:
            case Put():
                all_properties = [entity.properties for entity in part.entities]
            case Commit():
                all_properties = [mutation.entity.properties for mutation in part.mutations]
        for properties in all_properties:
            for value in properties.values():
                yield from _flat(value)


def _flat(value: Value) -> Iterator[Value]:
    yield value
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    for part in inner:
        yield from _flat(part)


def changes(step: Step) -> bool:
    """Whether the data may be others afterwards."""
    if isinstance(step, Transaction) and step.read_only:
        return any(isinstance(part, Outside) for part in step.steps)
    if isinstance(step, Pages):
        return bool(step.between)
    return not isinstance(step, Aggregate | Back | Count | Fetch | Get)
