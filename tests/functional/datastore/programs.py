"""Random programs. Their worlds are small, so that what is asked for is often there."""

from datetime import datetime

from hypothesis import strategies as st

from tests.functional.datastore.steps import (
    Aggregate,
    Allocate,
    Combined,
    Commit,
    Count,
    Create,
    Delete,
    Entity,
    Fetch,
    Filter,
    Get,
    Interleaved,
    Key,
    Mutation,
    Operator,
    Outside,
    Pages,
    Point,
    Program,
    Put,
    Query,
    Step,
    Transaction,
    Unindexed,
    Value,
    Where,
)

KINDS = ("Ant", "Bee")
NAMES = ("a", "b", "c", "d.x")
NUMBERS = [0, 1, 2, -1, 2**53 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.0, 1.5, -1.5, 2.0**53, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")]
# UTF-8 orders the last two otherwise than UTF-16 does.
STRINGS = ["", "a", "a\0", "aa", "b", "é", "\uffff", "\U0001f600"]
BLOBS = [b"", b"a", b"a\0", b"\xff\0", b"b"]
TIMES = [  # NDB's have no time zone
    datetime.fromisoformat(text)
    for text in ("1970-01-01T00:00:00", "1969-12-31T23:59:59.999999", "2026-01-02T03:04:05.006")
]
POINTS = [Point(0.0, 0.0), Point(-1.5, 2.0), Point(-1.5, -2.0), Point(90.0, 180.0)]

kinds_or_none = st.sampled_from([*KINDS, None])
through = st.sampled_from(["ndb", "api"])
namespaces = st.sampled_from([""] * 7 + ["n"])
identifiers: st.SearchStrategy[str | int] = st.sampled_from(
    [1, 2, 10, "a", "b", "1", "é"] * 3 + ["\uffff", "\U0001f600"]
)
comparisons: st.SearchStrategy[Operator] = st.sampled_from(["=", "<", "<=", ">", ">="])
operators: st.SearchStrategy[Operator] = st.one_of(
    st.just("="), comparisons, comparisons, st.sampled_from(["!=", "in", "not_in"])
)
ranges: st.SearchStrategy[tuple[Operator, ...]] = st.sampled_from(
    [(), (), ("<",), (">",), ("<=",), (">=",), (">", "<"), (">=", "<=")]
)
steps_of_paths: st.SearchStrategy[tuple[str, str | int]] = st.tuples(
    st.sampled_from(["Ant", "Ant", "Ant", "Bee"]), identifiers
)


@st.composite
def keys(draw: st.DrawFn, namespace: str | None = None) -> Key:
    path = draw(st.lists(steps_of_paths, min_size=1, max_size=2))
    return Key(
        tuple(part for pair in path for part in pair), draw(namespaces) if namespace is None else namespace
    )


common: st.SearchStrategy[Value] = st.sampled_from([0, 1, 1, 2, "a", "b", None])
unusual: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from([True, False, *NUMBERS]),
    st.sampled_from(FLOATS),
    st.sampled_from(STRINGS),
    st.sampled_from(BLOBS),
    st.sampled_from(TIMES),
    st.sampled_from(POINTS),
    keys(),
)


@st.composite
def scalar(draw: st.DrawFn) -> Value:
    return draw(common if draw(st.integers(0, 3)) else unusual)


@st.composite
def value(draw: st.DrawFn) -> Value:
    others: dict[int, st.SearchStrategy[Value]] = {6: arrays, 7: embedded, 8: unindexed}
    return draw(others.get(draw(st.integers(0, 8)), scalars))


scalars = scalar()
arrays: st.SearchStrategy[Value] = st.lists(scalars, min_size=1, max_size=3) | st.just([])
embedded: st.SearchStrategy[Value] = st.dictionaries(
    st.sampled_from(["x", "y"]), scalars | st.lists(scalars, min_size=1, max_size=2), max_size=2
)
unindexed: st.SearchStrategy[Value] = st.builds(Unindexed, st.one_of(scalars, st.just("long " * 400)))
values = value()
properties = st.fixed_dictionaries({"a": values}, optional={"b": values, "c": values, "d": embedded})
entities = st.builds(Entity, keys(), properties)
batches = st.lists(entities, min_size=1, max_size=6, unique_by=lambda entity: entity.key).map(tuple)
some_keys = st.lists(keys(), min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def leaves(draw: st.DrawFn, namespace: str) -> Where:
    if draw(st.integers(0, 7)) == 0:
        return Where("__key__", draw(comparisons), draw(keys(namespace)))
    operator = draw(operators)
    many = operator in ("in", "not_in")
    value = draw(st.lists(scalars, min_size=1, max_size=3) if many else scalars)
    return Where(draw(st.sampled_from(NAMES)), operator, value)


def filters(namespace: str) -> st.SearchStrategy[Filter]:
    return st.recursive(
        leaves(namespace),
        lambda inner: st.builds(
            Combined,
            st.sampled_from(["and", "and", "or"]),
            st.lists(inner, min_size=2, max_size=3).map(tuple),
        ),
        max_leaves=4,
    )


orders = st.lists(
    st.tuples(st.sampled_from(["", "-"]), st.sampled_from([*NAMES, "__key__"])),
    max_size=3,
    unique_by=lambda part: part[1],
).map(lambda parts: tuple(map("".join, parts)))


projections = st.one_of(
    st.just(()),
    st.just(()),
    st.just(()),
    st.just(("__key__",)),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True).map(tuple),
)
limits = st.sampled_from([None, None, None, None, 1, 2, 3])
offsets = st.sampled_from([0, 0, 0, 0, 1, 2])


@st.composite
def free_queries(draw: st.DrawFn) -> Query:
    """Of any shape, also such as no Datastore takes."""
    namespace = draw(namespaces)
    projection = draw(projections)
    return Query(
        kind=draw(kinds_or_none),
        ancestor=draw(st.one_of(st.none(), keys(namespace))),
        where=draw(st.one_of(st.none(), filters(namespace))),
        order=draw(orders),
        projection=projection,
        distinct=draw(st.sampled_from([(), projection, projection[:1]])),
        offset=draw(offsets),
        limit=draw(limits),
        namespace=namespace,
    )


def conjunction(parts: list[Where]) -> Filter | None:
    if len(parts) > 1:
        return Combined("and", tuple(parts))
    return parts[0] if parts else None


@st.composite
def plain_queries(draw: st.DrawFn) -> Query:
    """Such as every Datastore has taken since the first: inequalities on one property at most, and that
    ordered by first.
    """
    namespace = draw(namespaces)
    names = draw(st.permutations([*NAMES, "__key__"]))
    split = draw(st.sampled_from([0, 0, 1, 1, 2, 3]))
    equal, others = [name for name in names[:split] if name != "__key__"], names[split:]
    parts = [Where(name, "=", draw(scalars)) for name in equal]
    limit = keys(namespace) if others[0] == "__key__" else scalars
    parts += [Where(others[0], operator, draw(limit)) for operator in draw(ranges)]
    projection = tuple(others[: draw(st.sampled_from([0, 0, 0, 1, 2]))])
    order = tuple(draw(st.sampled_from(["", "-"])) + name for name in others[: draw(st.integers(0, 3))])
    return Query(
        kind=draw(st.sampled_from(["Ant", "Ant", "Ant", "Bee"])),
        ancestor=draw(st.one_of(*[st.none()] * 6, keys(namespace))),
        where=conjunction(parts),
        order=order,
        projection=projection if "__key__" not in projection or projection == ("__key__",) else (),
        distinct=projection[: draw(st.integers(0, 2))] if "__key__" not in projection else (),
        offset=draw(offsets),
        limit=draw(limits),
        namespace=namespace,
    )


def queries() -> st.SearchStrategy[Query]:
    return st.one_of(plain_queries(), plain_queries(), free_queries())


functions = st.tuples(
    st.sampled_from(["count", "sum", "avg"]), st.sampled_from(["a", "b"]), st.sampled_from([None, 1, 2])
)
mutations = st.builds(
    Mutation,
    st.sampled_from(["insert", "update", "upsert", "delete"]),
    entities,
    st.sampled_from(["none", "none", "current", "stale"]),
)
changes = st.one_of(st.builds(Put, batches, through), st.builds(Delete, some_keys, through))
outside_changes = st.one_of(
    st.builds(Put, batches, st.just("api")), st.builds(Delete, some_keys, st.just("api"))
)


def reads(through: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    return st.one_of(st.builds(Get, some_keys, through), st.builds(Fetch, queries(), through))


def in_transaction(through: str) -> st.SearchStrategy[tuple[Step, ...]]:
    way = st.just(through)
    writes = st.one_of(st.builds(Put, batches, way), st.builds(Delete, some_keys, way))
    steps = st.one_of(reads(way), reads(way), writes, st.builds(Outside, outside_changes))
    return st.lists(steps, min_size=1, max_size=4).map(tuple)


def transactions(through: str) -> st.SearchStrategy[Step]:
    return st.builds(Transaction, in_transaction(through), st.booleans(), st.booleans(), st.just(through))


interleaved = st.builds(
    Interleaved,
    in_transaction("api"),
    in_transaction("api"),
    st.lists(st.booleans(), max_size=8).map(tuple),
)
pages = st.builds(
    Pages,
    queries(),
    st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple),
    st.lists(changes, max_size=1).map(tuple),
    through,
)
steps: st.SearchStrategy[Step] = st.one_of(
    changes,
    st.builds(Fetch, queries(), through),
    st.builds(Fetch, queries(), through),
    st.builds(Fetch, queries(), through),
    st.builds(Count, queries()),
    pages,
    st.builds(Aggregate, queries(), st.lists(functions, min_size=1, max_size=3).map(tuple)),
    st.builds(Get, some_keys, through),
    st.builds(Commit, st.lists(mutations, min_size=1, max_size=3).map(tuple), st.booleans()),
    st.builds(
        Create,
        keys(),
        st.sampled_from(KINDS),
        st.lists(properties, min_size=1, max_size=2).map(tuple),
        through,
    ),
    st.builds(Allocate, st.sampled_from(KINDS), st.integers(1, 3), st.one_of(st.none(), keys("")), through),
    transactions("ndb"),
    transactions("api"),
    interleaved,
)
programs: st.SearchStrategy[Program] = st.tuples(
    st.builds(
        Put,
        st.lists(entities, min_size=6, max_size=12, unique_by=lambda entity: entity.key).map(tuple),
        through,
    ),
    st.lists(steps, min_size=2, max_size=6).map(tuple),
).map(lambda parts: (parts[0], *parts[1]))
