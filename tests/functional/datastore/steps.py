"""What a random program is made of: plain data that says what to do to a Datastore."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

type Name = str  # of a property, dotted for one of an embedded entity, or __key__


@dataclass(frozen=True)
class Key:
    path: tuple[str | int, ...]  # ("Kind", id or name, ...); incomplete without the last
    namespace: str = ""


@dataclass(frozen=True)
class Point:
    latitude: float
    longitude: float


@dataclass(frozen=True)
class Unindexed:
    value: "Value"


type Value = (
    bool | int | float | str | bytes | datetime | Point | Key | Unindexed
    | list["Value"] | dict[str, "Value"] | None
)  # fmt: skip
type Properties = Mapping[Name, Value]


@dataclass(frozen=True)
class Entity:
    key: Key
    properties: Properties


type Operator = Literal["=", "<", "<=", ">", ">=", "!=", "in", "not_in"]


@dataclass(frozen=True)
class Where:
    name: Name
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Combined:
    operator: Literal["and", "or"]
    parts: tuple["Filter", ...]


type Filter = Where | Combined


@dataclass(frozen=True)
class Query:
    kind: str | None = None
    ancestor: Key | None = None
    where: Filter | None = None
    order: tuple[str, ...] = ()  # names, a minus before those that descend
    projection: tuple[Name, ...] = ()
    distinct: tuple[Name, ...] = ()
    offset: int = 0
    limit: int | None = None
    namespace: str = ""


type Through = Literal["ndb", "api"]  # google-cloud-ndb, or google-cloud-datastore's own calls


@dataclass(frozen=True)
class Put:
    entities: tuple[Entity, ...]
    through: Through = "ndb"


@dataclass(frozen=True)
class Delete:
    keys: tuple[Key, ...]
    through: Through = "ndb"


@dataclass(frozen=True)
class Get:
    keys: tuple[Key, ...]
    through: Through = "ndb"


@dataclass(frozen=True)
class Fetch:
    query: Query
    through: Through = "ndb"


@dataclass(frozen=True)
class Count:
    """NDB's own count, which reads keys."""

    query: Query


@dataclass(frozen=True)
class Pages:
    """Page through a query; `between` the first and the second page something changes."""

    query: Query
    sizes: tuple[int, ...]
    between: tuple["Step", ...] = ()
    through: Through = "ndb"


@dataclass(frozen=True)
class Back:
    """A page, and from its end back to the beginning in the opposite order."""

    query: Query
    size: int


@dataclass(frozen=True)
class Aggregate:
    query: Query
    functions: tuple[tuple[Literal["count", "sum", "avg"], Name, int | None], ...]  # (.., .., up to)


@dataclass(frozen=True)
class Mutation:
    operation: Literal["insert", "update", "upsert", "delete"]
    entity: Entity  # of which a delete uses the key
    base: Literal["none", "current", "stale"] = "none"  # base_version


@dataclass(frozen=True)
class Commit:
    """Mutations in one call, in a transaction or not."""

    mutations: tuple[Mutation, ...]
    transactional: bool = False  # a single-use transaction


@dataclass(frozen=True)
class Create:
    """Put entities without an id, as children of `parent`; look them up; delete them."""

    parent: Key
    kind: str
    properties: tuple[Properties, ...]
    through: Through = "ndb"


@dataclass(frozen=True)
class Allocate:
    kind: str
    count: int
    parent: Key | None = None
    through: Through = "ndb"


@dataclass(frozen=True)
class Outside:
    """A step of a transaction that is not part of it."""

    step: "Step"


@dataclass(frozen=True)
class Transaction:
    steps: tuple["Step", ...]
    read_only: bool = False
    rolled_back: bool = False
    through: Through = "ndb"


@dataclass(frozen=True)
class Interleaved:
    """Two transactions; `turns` says whose next step is run, False for the first's."""

    first: tuple["Step", ...]
    second: tuple["Step", ...]
    turns: tuple[bool, ...]


type Step = (
    Put | Delete | Get | Fetch | Count | Pages | Back | Aggregate | Commit | Create | Allocate
    | Outside | Transaction | Interleaved
)  # fmt: skip
type Program = tuple[Step, ...]
