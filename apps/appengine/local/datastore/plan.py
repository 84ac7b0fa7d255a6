"""Which indexes answer a query, and where in them: or which index it would need.

A conjunction is answered by one index, or by several whose entries agree in everything behind the values
that are asked for by equality: they are merged (scan.py).
https://cloud.google.com/datastore/docs/concepts/optimize-indexes
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import grpc

from apps.appengine.local.refusals import Refused

from . import encoding
from .indexes import KEY, Composites, Index, Properties, digest, without_last_key
from .query import Asked, Conjunction, Position, Range

# What must follow the equalities in an index: groups, each in any order within itself; None is either
# direction.
Pattern = list[dict[str, bool | None]]


@dataclass(frozen=True)
class Plan:
    """Where the entries are: behind each of `prefixes`, in the order of `layout`, which ends with the key."""

    indexes: tuple[Index, ...]
    prefixes: tuple[bytes, ...]
    layout: Properties
    ranges: dict[str, Range]
    equal: dict[str, bytes]


def plan(asked: Asked, terms: Conjunction, composites: Composites) -> Plan | None:
    """None when nothing can match. Raises Refused: no index, and which one is needed."""
    possible = _consistent(terms)
    equal = {name for name, _ in terms.equal}
    pattern = _pattern(asked, equal)
    ancestor = bool(terms.ancestor and pattern)
    best = _choose(_candidates(asked.kind, equal, pattern, ancestor, composites), equal, pattern)
    if best is None:
        raise _needed(asked.kind, equal, pattern, ancestor)
    if not possible:
        return None
    suffix, indexes = best
    inside = terms.ancestor + encoding.END if ancestor else b""
    prefixes, used = zip(*_prefixes(asked.partition, indexes, len(suffix), terms, inside), strict=True)
    layout = suffix if any(name == KEY for name, _ in suffix) else (*suffix, (KEY, False))
    within = Range(Position(terms.ancestor), Position(terms.ancestor, after=True))
    ranges = {
        name: each for name, each in terms.ranges.items() if not (ancestor and (name, each) == (KEY, within))
    }
    return Plan(used, prefixes, layout, ranges, dict(sorted(terms.equal)))


def _consistent(terms: Conjunction) -> bool:
    """Whether anything can match. Of a property that must equal a value, a range says nothing more."""
    possible = all(value in terms.ranges.get(name, Range()) for name, value in terms.equal)
    for name, _ in terms.equal:
        terms.ranges.pop(name, None)
    return possible and all(within.start.bytes() < within.end.bytes() for within in terms.ranges.values())


def _pattern(asked: Asked, equal: set[str]) -> Pattern:
    """Orders first, then, if these leave open what is needed for filters, distinctness and projection."""
    pattern: Pattern = [{name: descends} for name, descends in asked.orders if name not in equal]
    groups = [*([name] for name in asked.distinct), asked.ranged, [*asked.projection, *asked.aggregated]]
    for names in groups:
        done = equal.union({KEY}, *pattern)
        if more := {name: None for name in names if name not in done}:
            pattern.append(dict[str, bool | None](more))
    if pattern and pattern[-1] == {KEY: False}:
        pattern.pop()
    return pattern


def _candidates(
    kind: str, equal: set[str], pattern: Pattern, ancestor: bool, composites: Composites
) -> Iterator[Index]:
    yield from (index for index in composites.get(kind, ()) if index.ancestor == ancestor)
    if ancestor:
        return
    yield Index(kind)
    for name in sorted(equal.union(*pattern) - {KEY}):
        yield Index(kind, ((name, False),))
        yield Index(kind, ((name, True),))


def _choose(
    candidates: Iterable[Index], equal: set[str], pattern: Pattern
) -> tuple[Properties, list[Index]] | None:
    """The suffix, and the fewest indexes that have it and cover all equalities."""
    size = sum(map(len, pattern))
    fitting = [
        index
        for index in candidates
        if (start := len(index.properties) - size) >= 0
        and {name for name, _ in index.properties[:start]} <= equal
        and _follows(index.properties[start:], pattern)
    ]

    def suffix(index: Index) -> Properties:
        return index.properties[len(index.properties) - size :]

    choices = []
    for properties, group in groupby(sorted(fitting, key=lambda index: (suffix(index), repr(index))), suffix):
        indexes = sorted(group, key=lambda index: -len(index.properties))
        if (cover := _cover(indexes, size, equal)) is not None:
            choices.append((properties, cover))
    return min(choices, key=lambda choice: len(choice[1]), default=None)


def _follows(properties: Properties, pattern: Pattern) -> bool:
    at = 0
    for group in pattern:
        part = dict(properties[at : at + len(group)])
        if part.keys() != group.keys() or any(
            wanted not in (None, part[name]) for name, wanted in group.items()
        ):
            return False
        at += len(group)
    return True


def _cover(indexes: list[Index], size: int, equal: set[str]) -> list[Index] | None:
    """Indexes that together begin with all of `equal`, the longest first."""
    cover: list[Index] = []
    missing = set(equal)
    while missing or not cover:
        best = max(indexes, key=lambda index: len(missing & _leading(index, size)), default=None)
        if best is None or (missing and not missing & _leading(best, size)):
            return None
        cover.append(best)
        missing -= _leading(best, size)
    return cover


def _leading(index: Index, size: int) -> set[str]:
    return {name for name, _ in index.properties[: len(index.properties) - size]}


def _prefixes(
    partition: bytes, indexes: list[Index], size: int, terms: Conjunction, inside: bytes
) -> Iterator[tuple[bytes, Index]]:
    """A property that must equal several values at once takes a scan of its own for each."""
    for index in indexes:
        leading = index.properties[: len(index.properties) - size]
        values = {name: sorted(value for each, value in terms.equal if each == name) for name, _ in leading}
        for turn in range(max(map(len, values.values()), default=1)):
            encoded = [
                encoding.turned(value) if descends else value
                for name, descends in leading
                for value in [values[name][min(turn, len(values[name]) - 1)]]
            ]
            yield digest(partition, index) + inside + b"".join(encoded), index


def _needed(kind: str, equal: set[str], pattern: Pattern, ancestor: bool) -> Refused:
    properties = [(name, False) for name in sorted(equal)]
    properties += [(name, bool(descends)) for group in pattern for name, descends in sorted(group.items())]
    index = Index(kind, without_last_key(tuple(properties)), ancestor)
    return Refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"no matching index found. recommended index is:\n{index.as_yaml()}",
    )
