"""Walks the entries that a query's plans name: ranges, merges, cursors.

https://cloud.google.com/datastore/docs/concepts/queries#cursors_limits_and_offsets
"""

import hashlib
import heapq
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from apps.appengine.local.refusals import invalid

from . import encoding
from .indexes import KEY, Composites, Properties
from .plan import Plan, plan
from .query import FIRST, LAST, Asked, Position, Range

ENTRIES = "SELECT entry, entity FROM entry WHERE entry >= ? AND entry < ? ORDER BY entry"
KEYS = "SELECT key, id FROM entity WHERE key >= ? AND key < ? ORDER BY key"


@dataclass(frozen=True)
class Row:
    """An entry that matches: where it stands among the results, whose it is, and its values by property."""

    place: bytes
    entity: int  # its row in the table
    plan: Plan
    entry: bytes  # behind the prefix

    def values(self) -> dict[str, bytes]:
        return self.plan.equal | parts(self.entry, self.plan.layout)


def parts(entry: bytes, layout: Properties) -> dict[str, bytes]:
    """The encoded value of each property of the layout, ascending."""
    found = {}
    for name, descends in layout:
        rest = encoding.turned(entry) if descends else entry
        end = encoding.end_of(rest, 0)
        found[name], entry = rest[:end], entry[end:]
    return found


class Scan:
    """The results of a query, in order, each entity (or projected row) once."""

    def __init__(self, asked: Asked, composites: Composites) -> None:
        """Raises Refused: an index that index.yaml lacks."""
        self.asked = asked
        self.plans = [found for terms in asked.conjunctions if (found := _plan(asked, terms, composites))]
        self.layout = self._layout()
        self.signature = _signature(asked, self.layout)

    def _layout(self) -> Properties:
        """By what the results are sorted; see `_places` for plans that are sorted otherwise."""
        layouts = {each.layout for each in self.plans}
        ordered = {name for name, _ in self.asked.orders}
        if len(layouts) == 1 and not any(ordered & each.equal.keys() for each in self.plans):
            return layouts.pop()
        orders = self.asked.orders
        return orders if any(name == KEY for name, _ in orders) else (*orders, (KEY, False))

    def rows(self, db: sqlite3.Connection, start: bytes, end: bytes) -> Iterator[Row]:
        """Results between two cursors, each empty for none. Raises Refused: not a cursor of this query."""
        within = Range(self._position(start) if start else FIRST, self._position(end) if end else LAST)
        streams = [self._places(db, each, within) for each in self.plans]
        merged = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=lambda row: row.place)
        return _once(merged, self._identity(), self._before(within.start))

    def _places(self, db: sqlite3.Connection, of: Plan, within: Range) -> Iterator[Row]:
        """A plan's rows; where its entries are sorted otherwise than the results, read and sorted first."""
        if of.layout == self.layout:
            return (Row(entry, entity, of, entry) for entry, entity in entries(db, self.asked, of, within))
        rows = (
            Row(self._joined(of.equal | parts(entry, of.layout)), entity, of, entry)
            for entry, entity in entries(db, self.asked, of, Range())
        )
        return iter(sorted((row for row in rows if row.place in within), key=lambda row: row.place))

    def _identity(self) -> Callable[[Row], Any]:
        """What makes two rows the same result."""
        names = self.asked.distinct or [*self.asked.projection, KEY]
        if not self.asked.distinct and set(self.asked.projection) <= {KEY}:
            return lambda row: row.entity
        return lambda row: tuple(row.values()[name] for name in names)

    def cursor(self, row: Row | None, otherwise: bytes) -> bytes:
        """The place behind a row, or `otherwise`, or the place before all rows."""
        directions = bytes(descends for _, descends in self.layout)
        return b"\1" + self.signature + directions + row.place if row else otherwise or b"\0" + self.signature

    def _position(self, cursor: bytes) -> Position:
        """A cursor of this query; if its order was the opposite, the row before it is now behind it."""
        after, signature, rest = cursor[:1] == b"\1", cursor[1:9], cursor[9:]
        if signature == self.signature and not rest:
            return FIRST
        before = tuple((name, bool(down)) for (name, _), down in zip(self.layout, rest, strict=False))
        try:
            place = self._joined(parts(rest[len(before) :], before))
        except (ValueError, KeyError):
            signature = b""
        if signature != self.signature:
            raise invalid("the cursor is not one of this query.")
        return Position(place, after == (before[0] == self.layout[0]))

    def _joined(self, values: dict[str, bytes]) -> bytes:
        return b"".join(
            encoding.turned(values[name]) if descends else values[name] for name, descends in self.layout
        )

    def _before(self, start: Position) -> set[Any]:
        """With distinct results, what the last result before this place stands for."""
        if not (self.asked.distinct and start.after and start.encoded):
            return set()
        values = (self.plans[0].equal if self.plans else {}) | parts(start.encoded, self.layout)
        return {tuple(values.get(name) for name in self.asked.distinct)}


def _plan(asked: Asked, terms: Any, composites: Composites) -> Plan | None:
    if asked.kind:
        return plan(asked, terms, composites)
    return Plan((), (asked.partition,), ((KEY, False),), terms.ranges, {})


def _signature(asked: Asked, layout: Properties) -> bytes:
    names = [name for name, _ in layout]
    return hashlib.blake2b(repr((asked.kind, names)).encode(), digest_size=8).digest()


def _once(rows: Iterator[Row], identity: Callable[[Row], Any], seen: set[Any]) -> Iterator[Row]:
    for row in rows:
        if (name := identity(row)) not in seen:
            seen.add(name)
            yield row


def entries(db: sqlite3.Connection, asked: Asked, of: Plan, within: Range) -> Iterator[tuple[bytes, int]]:
    """What follows the prefix, and the entity, for each entry in the plan's ranges."""
    first, descends = of.layout[0]
    ranged = of.ranges.get(first, Range())
    start, end = (ranged.end, ranged.start) if descends else (ranged.start, ranged.end)
    low = max(start.bytes(descends=descends), within.start.bytes())
    high = min(end.bytes(descends=descends), within.end.bytes())
    sql = ENTRIES if asked.kind else KEYS
    found = (
        _merged(db, of.prefixes, low, high)
        if len(of.prefixes) > 1
        else _scanned(db, sql, of.prefixes[0], low, high)
    )
    others = {name: each for name, each in of.ranges.items() if name != first}
    if not others:
        return found
    return (item for item in found if _holds(parts(item[0], of.layout), others))


def _holds(values: dict[str, bytes], ranges: dict[str, Range]) -> bool:
    return all(values[name] in within for name, within in ranges.items())


def _scanned(
    db: sqlite3.Connection, sql: str, prefix: bytes, low: bytes, high: bytes
) -> Iterator[tuple[bytes, int]]:
    size = len(prefix)
    return ((entry[size:], entity) for entry, entity in db.execute(sql, (prefix + low, prefix + high)))


def _merged(
    db: sqlite3.Connection, prefixes: tuple[bytes, ...], low: bytes, high: bytes
) -> Iterator[tuple[bytes, int]]:
    """The entries that stand behind every prefix: each scan in turn leaps to where the one before it is."""
    agreed, turn = 0, 0
    while True:
        prefix = prefixes[turn % len(prefixes)]
        found = db.execute(f"{ENTRIES} LIMIT 1", (prefix + low, prefix + high)).fetchone()
        if not found:
            return
        entry = found[0][len(prefix) :]
        agreed = agreed + 1 if entry == low else 1
        low, turn = entry, turn + 1
        if agreed == len(prefixes):
            yield entry, found[1]
            low, agreed = entry + encoding.AFTER, 0
