"""Random queries about a world."""

from hypothesis import strategies as st

from tests.functional.datastore.steps import Combined, Filter, Key, Operator, Query, Value, Where
from tests.functional.datastore.walk import bare
from tests.functional.datastore.worlds import KINDS, NAMES, World

COMPARISONS: list[Operator] = ["=", "=", "<", "<=", ">", ">="]
OPERATORS: list[Operator] = [*COMPARISONS, "!=", "in", "not_in"]
RANGES: list[tuple[Operator, ...]] = [(), (), (), ("<",), (">",), ("<=",), (">=",), (">", "<"), (">=", "<=")]
kinds = st.sampled_from(["Ant", "Ant", "Ant", "Ant", "Bee"])
limits = st.sampled_from([None, None, None, None, 1, 2, 3])
offsets = st.sampled_from([0, 0, 0, 0, 1, 2])
signs = st.sampled_from(["", "-"])


def keys_in(world: World, namespace: str) -> st.SearchStrategy[Key]:
    found = [key for key in world.keys if key.namespace == namespace]
    return st.sampled_from([*found, Key(("Ant", 1), namespace)])


@st.composite
def orders(draw: st.DrawFn, names: list[str]) -> tuple[str, ...]:
    """Of the first of the names; the last resort, the key, is mostly said where that makes a difference."""
    order = tuple(draw(signs) + name for name in names[: draw(st.integers(0, 3))])
    descends = bool(order) and order[-1].startswith("-") and "__key__" not in bare(order)
    return (*order, "__key__") if descends and draw(st.integers(0, 3)) else order


def ancestors(world: World, namespace: str) -> st.SearchStrategy[Key | None]:
    some = keys_in(world, namespace).map(lambda key: Key(key.path[:2], key.namespace))
    return st.integers(0, 4).flatmap(lambda number: some if number == 0 else st.none())


@st.composite
def leaves(draw: st.DrawFn, world: World, namespace: str) -> Where:
    if draw(st.integers(0, 7)) == 0:
        return Where("__key__", draw(st.sampled_from(COMPARISONS)), draw(keys_in(world, namespace)))
    operator = draw(st.sampled_from(OPERATORS))
    many = operator in ("in", "not_in")
    value: Value = draw(st.lists(world.values, min_size=1, max_size=3) if many else world.values)
    return Where(draw(st.sampled_from(NAMES)), operator, value)


def filters(world: World, namespace: str) -> st.SearchStrategy[Filter]:
    def combined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
        parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.builds(Combined, st.sampled_from(["and", "and", "or"]), parts)

    leaf: st.SearchStrategy[Filter] = leaves(world, namespace)
    return st.recursive(leaf, combined, max_leaves=4)


@st.composite
def modern_queries(draw: st.DrawFn, world: World) -> Query:
    """Filters of all kinds, nested; orders and projections that mostly go with them."""
    namespace = draw(st.sampled_from(world.keys)).namespace
    names = draw(st.permutations([*NAMES, "__key__"]))
    projection = tuple(
        name for name in names[: draw(st.sampled_from([0, 0, 0, 0, 1, 2]))] if name != "__key__"
    )
    return Query(
        kind=draw(kinds),
        ancestor=draw(ancestors(world, namespace)),
        where=draw(st.none() | filters(world, namespace) | filters(world, namespace)),
        order=draw(orders(names)),
        projection=projection,
        distinct=projection[: draw(st.sampled_from([0, 0, 1, 2]))],
        offset=draw(offsets),
        limit=draw(limits),
        namespace=namespace,
    )


@st.composite
def free_queries(draw: st.DrawFn, world: World) -> Query:
    """Of any shape, also such as no Datastore takes."""
    query = draw(modern_queries(world))
    names = st.lists(st.sampled_from([*NAMES, "__key__"]), max_size=2, unique=True).map(tuple)
    return Query(
        kind=draw(st.sampled_from([*KINDS, None])),
        ancestor=query.ancestor,
        where=query.where,
        order=query.order,
        projection=draw(names),
        distinct=draw(names),
        offset=query.offset,
        limit=query.limit,
        namespace=query.namespace,
    )


@st.composite
def first_queries(draw: st.DrawFn, world: World) -> Query:
    """Such as every Datastore has taken from the first: inequalities on one property, ordered by first."""
    namespace = draw(st.sampled_from(world.keys)).namespace
    names = draw(st.permutations([*NAMES, "__key__"]))
    split = draw(st.sampled_from([0, 0, 0, 1, 1, 2]))
    equal, others = [name for name in names[:split] if name != "__key__"], names[split:]
    parts = [Where(name, "=", draw(world.values)) for name in equal]
    limit = keys_in(world, namespace) if others[0] == "__key__" else world.values
    parts += [Where(others[0], operator, draw(limit)) for operator in draw(st.sampled_from(RANGES))]
    projection = tuple(others[: draw(st.sampled_from([0, 0, 0, 1, 2]))])
    if "__key__" in projection:
        projection = draw(st.sampled_from([(), ("__key__",)]))
    return Query(
        kind=draw(kinds),
        ancestor=draw(ancestors(world, namespace)),
        where=Combined("and", tuple(parts)) if len(parts) > 1 else next(iter(parts), None),
        order=draw(orders(others)),
        projection=projection,
        distinct=projection[: draw(st.integers(0, 2))] if projection != ("__key__",) else (),
        offset=draw(offsets),
        limit=draw(limits),
        namespace=namespace,
    )


@st.composite
def kindless_queries(draw: st.DrawFn, world: World) -> Query:
    namespace = draw(st.sampled_from(world.keys)).namespace
    operators = draw(st.sampled_from(RANGES))
    parts = tuple(Where("__key__", operator, draw(keys_in(world, namespace))) for operator in operators)
    return Query(
        ancestor=draw(ancestors(world, namespace)),
        where=Combined("and", parts) if parts else None,
        order=draw(st.sampled_from([(), ("__key__",)])),
        projection=draw(st.sampled_from([(), ("__key__",)])),
        offset=draw(offsets),
        limit=draw(limits),
        namespace=namespace,
    )


def queries(world: World) -> st.SearchStrategy[Query]:
    first, modern = first_queries(world), modern_queries(world)
    return st.one_of(
        first, first, first, modern, modern, modern, free_queries(world), kindless_queries(world)
    )
