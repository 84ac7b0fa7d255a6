"""Random programs: those that mostly read, those that write, those whose transactions meet."""

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.functional.datastore.queries import queries
from tests.functional.datastore.steps import (
    Aggregate,
    Allocate,
    Back,
    Commit,
    Count,
    Create,
    Delete,
    Entity,
    Fetch,
    Get,
    Interleaved,
    Key,
    Mutation,
    Outside,
    Pages,
    Program,
    Properties,
    Put,
    Query,
    Step,
    Through,
    Transaction,
)
from tests.functional.datastore.walk import bare, wheres
from tests.functional.datastore.worlds import KINDS, ROOTS, World, worlds

type Steps = st.SearchStrategy[Step]
throughs: st.SearchStrategy[Through] = st.sampled_from(["ndb", "api"])


def nulls_in_arrays(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(nulls_in_arrays, value.values()))
    return isinstance(value, list) and None in value


def sayable(properties: Iterable[Properties], through: Through) -> Through:
    """NDB refuses None among several values."""
    return "api" if any(map(nulls_in_arrays, properties)) else through


def put(entities: tuple[Entity, ...], through: Through) -> Put:
    return Put(entities, sayable([entity.properties for entity in entities], through))


def create(parent: Key, kind: str, properties: tuple[Properties, ...], through: Through) -> Create:
    return Create(parent, kind, properties, sayable(properties, through))


def few(steps: Any, least: int, most: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(steps, min_size=least, max_size=most).map(tuple)


def changes(world: World, through: st.SearchStrategy[Through]) -> Steps:
    return st.builds(put, world.entities(1, 4), through) | st.builds(Delete, world.some_keys(3), through)


def can_turn(query: Query) -> bool:
    """Whether all its orders are said, and decide."""
    unequal = {where.name for where in wheres(query.where) if where.operator not in ("=", "in")}
    deciding = {*unequal, *query.projection} - {"__key__"}
    return bool(query.order) and deciding <= set(bare(query.order)) and not query.distinct


def reads(world: World) -> Steps:
    asked = queries(world)
    fetch, sizes = st.builds(Fetch, asked, throughs), few(st.integers(1, 4), 1, 4)
    functions = st.tuples(
        st.sampled_from(["count", "sum", "avg"]), st.sampled_from(["a", "b"]), st.sampled_from([None, 1, 2])
    )
    return st.one_of(
        *[fetch] * 4,
        st.builds(Count, asked),
        st.builds(Pages, asked, sizes, st.just(()), throughs),
        st.builds(Pages, asked, sizes, few(changes(world, throughs), 0, 1), throughs),
        st.builds(Back, asked.filter(can_turn), st.integers(1, 4)),
        st.builds(Aggregate, asked, few(functions, 1, 3)),
        st.builds(Get, world.some_keys(4), throughs),
    )


def transactions(world: World, through: Through) -> Steps:
    """Nobody else writes meanwhile."""
    way = st.just(through)
    looks = st.builds(Get, world.some_keys(2), way) | st.builds(Fetch, queries(world), way)
    inner = few((looks | changes(world, way)).filter(lambda step: goes(step, through)), 1, 4)
    return st.builds(Transaction, inner, st.booleans(), st.booleans(), way)


def writes(world: World) -> Steps:
    entity = world.entities(1, 1).map(lambda entities: entities[0])
    based = st.builds(
        Mutation,
        st.sampled_from(["update", "upsert", "delete"]),
        entity,
        st.sampled_from(["none", "none", "current", "stale"]),
    )
    mutations = st.builds(Mutation, st.just("insert"), entity) | based
    kinds = st.sampled_from(KINDS)
    return st.one_of(
        changes(world, throughs),
        # Several outside of a transaction may apply in part, and do on Google's.
        st.builds(Commit, few(mutations, 1, 1), st.just(False)),
        st.builds(Commit, few(mutations, 1, 3), st.just(True)),
        st.builds(create, st.sampled_from(world.keys), kinds, few(world.properties, 1, 2), throughs),
        st.builds(Allocate, kinds, st.integers(1, 3), st.none() | st.sampled_from(ROOTS), throughs),
        transactions(world, "ndb"),
        transactions(world, "api"),
        st.builds(Get, world.some_keys(4), throughs),
        st.builds(Fetch, queries(world), throughs),
    )


def goes(step: Step, way: Through) -> bool:
    return getattr(step, "through", way) == way


def writing(keys: Sequence[Key], world: World, least: int = 1) -> Steps:
    entity = st.builds(Entity, st.sampled_from(keys), world.properties)
    entities = st.lists(entity, min_size=least, max_size=2, unique_by=lambda entity: entity.key)
    return st.builds(Put, entities.map(tuple), st.just("api"))


@st.composite
def watched(draw: st.DrawFn, world: World) -> tuple[Step, ...]:
    """A transaction that reads, writes what it has read, and is disturbed."""
    keys = draw(st.lists(st.sampled_from(ROOTS), min_size=1, max_size=2, unique=True))
    disturbance = st.builds(Outside, writing(ROOTS, world))
    return (Get(tuple(keys), "api"), *draw(few(writing(keys, world) | disturbance, 0, 3)))


@st.composite
def all_or_nothing(draw: st.DrawFn, world: World) -> tuple[Step, ...]:
    """A transaction that writes all that it has read, or nothing."""
    keys = draw(st.lists(st.sampled_from(ROOTS), min_size=1, max_size=2, unique=True))
    return (Get(tuple(keys), "api"), *draw(few(writing(keys, world, len(keys)), 0, 1)))


def meetings(world: World) -> Steps:
    met = watched(world)
    through_ndb = met.map(lambda steps: tuple(through(step, "ndb") for step in steps)).filter(
        lambda steps: all(goes(step, "ndb") for step in steps)
    )
    no = st.just(False)
    return st.one_of(
        st.builds(Transaction, met, st.booleans(), no, st.just("api")),
        st.builds(Transaction, through_ndb, st.booleans(), no, st.just("ndb")),
        st.builds(Interleaved, all_or_nothing(world), all_or_nothing(world), few(st.booleans(), 0, 6)),
    )


def through(step: Step, way: Through) -> Step:
    match step:
        case Put():
            return put(step.entities, way)
        case Get():
            return Get(step.keys, way)
    return step


@st.composite
def programs(draw: st.DrawFn) -> Program:
    world = draw(worlds())
    roots = st.tuples(*[st.builds(Entity, st.just(root), world.properties) for root in ROOTS])
    entities = draw(roots) + draw(world.entities(min(8, len(world.keys)), len(world.keys)))
    steps, least = draw(st.sampled_from([(reads, 16), (reads, 16), (writes, 8), (meetings, 3)]))
    return (put(entities, draw(throughs)), *draw(few(steps(world), least, least + 8)))
