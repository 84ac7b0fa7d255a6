"""Steps through the unmodified google-cloud-ndb."""

from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any

from google.cloud import ndb
from google.cloud.ndb import _datastore_query, query

from tests.functional.datastore.messages import PROJECT
from tests.functional.datastore.steps import (
    Allocate,
    Combined,
    Create,
    Entity,
    Filter,
    Key,
    Point,
    Query,
    Unindexed,
    Value,
)

type Observation = Any


class Loose(ndb.Expando):
    """Queries may name properties that only entities have, which Expando's own check refuses."""

    @classmethod
    def _check_properties(cls, *_: object, **__: object) -> None:
        return


class Ant(Loose):
    """A kind."""


class Bee(Loose):
    """Another."""


MODELS = {"Ant": Ant, "Bee": Bee}


def ndb_key(key: Key) -> ndb.Key:
    return ndb.Key(flat=key.path, project=PROJECT, namespace=key.namespace or None)


def ndb_value(value: Value) -> Any:
    match value:
        case Unindexed(inner):
            return ndb_value(inner)
        case Point(latitude, longitude):
            return ndb.GeoPt(latitude, longitude)
        case Key():
            return ndb_key(value)
        case list():
            return [ndb_value(item) for item in value]
        case dict():
            return ndb.Expando(**{name: ndb_value(item) for name, item in value.items()})
    return value


def set_property(entity: ndb.Expando, name: str, value: Value) -> None:
    """As assignment does, save that the property can be unindexed."""
    if not isinstance(value, Unindexed):
        setattr(entity, name, ndb_value(value))
        return
    prop = ndb.GenericProperty(name, repeated=isinstance(value.value, list), indexed=False)
    entity._clone_properties()
    entity._properties[name] = prop
    prop._set_value(entity, ndb_value(value))


def ndb_entity(entity: Entity) -> ndb.Expando:
    made = MODELS[str(entity.key.path[-2])](key=ndb_key(entity.key))
    for name, value in entity.properties.items():
        set_property(made, name, value)
    return made


def node(where: Filter) -> query.Node:
    if isinstance(where, Combined):
        combine = query.ConjunctionNode if where.operator == "and" else query.DisjunctionNode
        return combine(*(node(part) for part in where.parts))
    return query.FilterNode(where.name, where.operator, ndb_value(where.value))


def ndb_query(asked: Query) -> query.Query:
    return query.Query(
        kind=asked.kind,
        ancestor=ndb_key(asked.ancestor) if asked.ancestor else None,
        filters=node(asked.where) if asked.where else None,
        order_by=list(asked.order) or None,
        projection=asked.projection or None,
        distinct_on=asked.distinct or None,
        namespace=asked.namespace or None,
    )


def text(value: Any) -> str:  # noqa: PLR0911  one line for each type
    """What it is, exactly: floats with their sign, entities with their properties."""
    match value:
        case None | bool() | int() | float() | str() | bytes() | datetime():
            return repr(value)
        case list():
            return f"[{', '.join(text(item) for item in value)}]"
        case dict():  # what NDB leaves to the datastore library
            return f"{{{', '.join(f'{name}={text(value[name])}' for name in sorted(value))}}}"
        case ndb.Key():
            return f"{value.namespace() or ''}!{value.flat()}"
        case ndb.GeoPt():
            return f"({value.latitude!r}, {value.longitude!r})"
        case ndb.Model():
            names = sorted(value._properties)
            properties = [f"{name}={text(value._properties[name]._get_value(value))}" for name in names]
            return f"{text(value.key)} {{{', '.join(properties)}}}"
    return f"{type(value).__name__} {value!r}"


class Ndb:
    """One client. Calls need its context."""

    def put(self, entities: tuple[Entity, ...]) -> Observation:
        ndb.put_multi([ndb_entity(entity) for entity in entities], retries=0)
        return "put"

    def delete(self, keys: tuple[Key, ...]) -> Observation:
        ndb.delete_multi([ndb_key(key) for key in keys], retries=0)
        return "deleted"

    def get(self, keys: tuple[Key, ...]) -> Observation:
        return [text(entity) for entity in ndb.get_multi([ndb_key(key) for key in keys], retries=0)]

    def fetch(self, asked: Query) -> Observation:
        found = ndb_query(asked).fetch(limit=asked.limit, offset=asked.offset or None, retries=0)
        return [text(entity) for entity in found]

    def count(self, asked: Query) -> Observation:
        return ndb_query(asked).count(limit=asked.limit, retries=0)

    def page(
        self, asked: Query, size: int, cursor: _datastore_query.Cursor | None
    ) -> tuple[Observation, _datastore_query.Cursor | None]:
        found, after, _ = ndb_query(asked).fetch_page(size, start_cursor=cursor)
        return [text(entity) for entity in found], after

    def create(self, step: Create) -> Observation:
        names = count()
        parent = ndb_key(step.parent)
        made = [MODELS[step.kind](parent=parent) for _ in step.properties]
        for entity, properties in zip(made, step.properties, strict=True):
            for name, value in properties.items():
                set_property(entity, name, value)
        keys = ndb.put_multi(made, retries=0)
        texts = [text(entity).partition(") {")[2] for entity in ndb.get_multi(keys)]
        ndb.delete_multi(keys)
        return texts, [(*key.flat()[:-1], next(names)) for key in keys]

    def allocate(self, step: Allocate) -> Observation:
        parent = ndb_key(step.parent) if step.parent else None
        keys = MODELS[step.kind].allocate_ids(step.count, parent=parent)
        return len(set(keys)), all(key.id() > 0 for key in keys)

    def transaction(self, callback: Callable[[], Observation], *, read_only: bool) -> Observation:
        return ndb.transaction(callback, retries=0, read_only=read_only)
