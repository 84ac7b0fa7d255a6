"""Random data. A world is small, so that what is asked for is often there."""

from dataclasses import dataclass
from datetime import datetime

from hypothesis import strategies as st

from tests.functional.datastore.steps import Entity, Key, Point, Properties, Unindexed, Value

KINDS = ("Ant", "Bee")
NAMES = ("a", "b", "c", "d.x")
# Few, so that transactions meet. They are always there at first, and only those that meet write them.
ROOTS = [Key(("Ant", number)) for number in (4, 5, 6)]
COMMON: list[Value] = [0, 1, 2, "a", "b", None]
UNUSUAL: list[Value] = [
    *[True, False, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    *[0.0, -0.0, 1.0, 1.5, -1.5, 2.0**53, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")],
    *["", "a\0", "aa", "é", "\uffff", "\U0001f600"],  # UTF-8 orders the last two otherwise than UTF-16
    *[b"", b"a", b"a\0", b"\xff\0", b"b"],
    *map(datetime.fromisoformat, ["1970-01-01", "1969-12-31T23:59:59.999999", "2026-01-02T03:04:05.006"]),
    *[Point(0.0, 0.0), Point(-1.5, 2.0), Point(-1.5, -2.0), Point(90.0, 180.0)],
    *[Key(("Ant", 1)), Key(("Ant", "1")), Key(("Bee", 1)), Key(("Ant", 1, "Ant", 1)), Key(("Ant", 1), "n")],
]
IDENTIFIERS: list[int | str] = [1, 2, 10, "a", "b", "1", "é"]
ASTRAL: list[int | str] = ["\uffff", "\U0001f600"]


@dataclass(frozen=True)
class World:
    """Which keys and values a program knows."""

    keys: tuple[Key, ...]
    pool: tuple[Value, ...]
    arrays: bool  # properties with several values, or with none

    def some_keys(self, most: int) -> st.SearchStrategy[tuple[Key, ...]]:
        return st.lists(st.sampled_from(self.keys), min_size=1, max_size=most, unique=True).map(tuple)

    @property
    def values(self) -> st.SearchStrategy[Value]:
        return st.sampled_from(self.pool)

    @property
    def embedded(self) -> st.SearchStrategy[Value]:
        arrays = st.lists(self.values, min_size=1, max_size=2) if self.arrays else self.values
        return st.dictionaries(st.sampled_from(["x", "y"]), self.values | arrays, max_size=2)

    @property
    def properties(self) -> st.SearchStrategy[Properties]:
        others: list[st.SearchStrategy[Value]] = [
            st.builds(Unindexed, self.values | st.just("long " * 400)),
            self.embedded,
            st.lists(self.values, max_size=3) if self.arrays else self.values,
        ]
        value = st.integers(0, 11).flatmap(lambda number: dict(enumerate(others)).get(number, self.values))
        return st.fixed_dictionaries({"a": value}, optional={"b": value, "c": value, "d": self.embedded})

    def entities(self, least: int, most: int) -> st.SearchStrategy[tuple[Entity, ...]]:
        entity = st.builds(Entity, st.sampled_from(self.keys), self.properties)
        return st.lists(entity, min_size=least, max_size=most, unique_by=lambda entity: entity.key).map(tuple)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    identifiers = st.sampled_from(draw(st.sampled_from([IDENTIFIERS, IDENTIFIERS, IDENTIFIERS + ASTRAL])))
    pair = st.tuples(st.sampled_from(["Ant", "Ant", "Ant", "Bee"]), identifiers)
    paths = st.lists(pair, min_size=1, max_size=3).map(
        lambda pairs: tuple(part for pair in pairs for part in pair)
    )
    namespaces = st.sampled_from(draw(st.sampled_from([[""], [""], ["", "n"]])))
    keys = draw(st.lists(st.builds(Key, paths, namespaces), min_size=8, max_size=14, unique=True))
    unusual = draw(st.lists(st.sampled_from(UNUSUAL), max_size=6))
    return World(tuple(keys), (*COMMON, *unusual), draw(st.sampled_from([False, False, True])))
