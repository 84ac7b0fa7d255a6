"""Where one of Google's emulators cannot be compared with ours, and which documentation says who is right.

docs/decisions/0016-where-the-embedded-datastore-differs.md tells readers the same; a test keeps them equal.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.datastores import DATASTORE_EMULATOR, FIRESTORE_EMULATOR
from tests.functional.datastore.steps import (
    Aggregate,
    Back,
    Commit,
    Interleaved,
    Outside,
    Pages,
    Program,
    Query,
    Step,
    Transaction,
)
from tests.functional.datastore.walk import bare, has_or, parts, queries, wheres, written

DOCUMENTATION = "https://cloud.google.com/datastore/docs"
QUERIES = f"{DOCUMENTATION}/concepts/queries"
REFERENCE = f"{DOCUMENTATION}/reference/data/rpc/google.datastore.v1"
INEQUALITIES = ("<", "<=", ">", ">=", "!=", "not_in")


@dataclass(frozen=True)
class Difference:
    name: str
    side: str  # the emulator that is not compared
    reason: str
    documentation: str
    applies: Callable[[Program, Step, object], bool]  # the last is what the emulator showed


def aggregates(_: Program, step: Step, __: object) -> bool:
    return isinstance(step, Aggregate)


def newer_filters(_: Program, step: Step, __: object) -> bool:
    for query in queries(step):
        found = list(wheres(query.where))
        unequal = {where.name for where in found if where.operator in INEQUALITIES}
        if len(unequal) > 1 or {"!=", "not_in", "in"} & {where.operator for where in found}:
            return True
        first = (*bare(query.order), *query.distinct)[:1]
        if has_or(query.where) or (unequal and first and first[0] not in unequal):
            return True
    return False


def finds_empty_arrays(program: Program, step: Step, _: object) -> bool:
    return any(queries(step)) and any(value == [] for each in program for value in written(each))


def orders_beyond_16_bits(program: Program, step: Step, _: object) -> bool:
    text = str(program)
    return any(queries(step)) and "\U0001f600" in text and "\\uffff" in text


def finds_by_key(_: Program, step: Step, __: object) -> bool:
    for query in queries(step):
        equal = any(where.name == "__key__" and where.operator == "=" for where in wheres(query.where))
        if (query.order and equal) or (query.projection and orders_go_on(query)):
            return True
    return False


def orders_go_on(query: Query) -> bool:
    """Whether it orders behind the key, which decides."""
    return "__key__" in bare(query.order)[:-1]


def repeats_an_entity(_: Program, step: Step, __: object) -> bool:
    keys = [mutation.entity.key for mutation in step.mutations] if isinstance(step, Commit) else []
    return len(set(keys)) < len(keys)


def transactions_meet(_: Program, step: Step, __: object) -> bool:
    return any(isinstance(part, Interleaved | Outside) for part in parts(step))


def ends_read_only(_: Program, step: Step, __: object) -> bool:
    return isinstance(step, Transaction) and step.read_only and not step.rolled_back


def names_another_version(_: Program, step: Step, __: object) -> bool:
    return isinstance(step, Commit) and any(mutation.base == "stale" for mutation in step.mutations)


def fails_itself(_: Program, __: Step, seen: object) -> bool:
    return "failed: UNKNOWN" in str(seen)


def finds_several_values(program: Program, step: Step, _: object) -> bool:
    several = any(isinstance(value, list) and len(value) > 1 for each in program for value in written(each))
    return several and any(
        query.order or query.projection or any(where.operator != "=" for where in wheres(query.where))
        for query in queries(step)
    )


def kindless_values(_: Program, step: Step, __: object) -> bool:
    return any(
        not query.kind and (query.projection or query.distinct or isinstance(step, Aggregate))
        for query in queries(step)
    )


def orders_behind_the_key(_: Program, step: Step, __: object) -> bool:
    return any(map(orders_go_on, queries(step)))


def pages_by_key(_: Program, step: Step, __: object) -> bool:
    return any(
        by_key(query) for part in parts(step) if isinstance(part, Pages | Back) for query in queries(part)
    )


def by_key(query: Query) -> bool:
    """Whether it orders by key before it is through with the values of the index."""
    unequal = {where.name for where in wheres(query.where) if where.operator in INEQUALITIES}
    order = bare(query.order)
    before = order[: order.index("__key__")] if "__key__" in order else order
    values = {*query.projection, *unequal} - {"__key__", *before}
    return bool(values) and ("__key__" in unequal or "__key__" in order)


def implied_orders(_: Program, step: Step, __: object) -> bool:
    for query in queries(step):
        names = bare(query.order)
        implied = "__key__" not in names or set(query.distinct) - set(names)
        if query.order and query.order[-1].startswith("-") and implied:
            return True
    return False


def aggregates_what_is_unequal(_: Program, step: Step, __: object) -> bool:
    return isinstance(step, Aggregate) and any(
        where.operator in ("not_in", "!=") for where in wheres(step.query.where)
    )


DIFFERENCES = [
    Difference(
        "no aggregation",
        DATASTORE_EMULATOR,
        "It refuses aggregation queries.",
        f"{DOCUMENTATION}/tools/datastore-emulator",
        aggregates,
    ),
    Difference(
        "no newer filters",
        DATASTORE_EMULATOR,
        "It has no IN, NOT_IN, != and OR, one property for inequalities, and that must be the first order.",
        f"{DOCUMENTATION}/tools/datastore-emulator",
        newer_filters,
    ),
    Difference(
        "empty arrays",
        DATASTORE_EMULATOR,
        "It indexes an empty array as null. Datastore does not index empty arrays.",
        "https://cloud.google.com/appengine/docs/java/javadoc/com/google/appengine/api/datastore/DatastoreServiceConfig",
        finds_empty_arrays,
    ),
    Difference(
        "characters beyond 16 bits",
        DATASTORE_EMULATOR,
        "It orders strings and names by UTF-16. Datastore orders them by UTF-8.",
        "https://cloud.google.com/firestore/docs/concepts/data-types",
        orders_beyond_16_bits,
    ),
    Difference(
        "entities that lack a property",
        DATASTORE_EMULATOR,
        "By key it finds such, though the property is projected or orders. They are no results.",
        QUERIES,
        finds_by_key,
    ),
    Difference(
        "one entity twice in a commit",
        DATASTORE_EMULATOR,
        "It answers sequences that are not permitted with ALREADY_EXISTS or NOT_FOUND, not INVALID_ARGUMENT.",
        f"{REFERENCE}#commitrequest",
        repeats_an_entity,
    ),
    Difference(
        "locks",
        FIRESTORE_EMULATOR,
        "It has pessimistic transactions only: whoever writes what one has read waits. Ours are optimistic.",
        "https://cloud.google.com/firestore/docs/transaction-data-contention",
        transactions_meet,
    ),
    Difference(
        "commit of a read-only transaction",
        FIRESTORE_EMULATOR,
        "It refuses the empty commit by which every client ends a transaction.",
        f"{DOCUMENTATION}/concepts/transactions",
        ends_read_only,
    ),
    Difference(
        "base version",
        FIRESTORE_EMULATOR,
        "It writes whatever base_version says. A version that is not the current one conflicts.",
        f"{REFERENCE}#mutation",
        names_another_version,
    ),
    Difference(
        "UNKNOWN",
        FIRESTORE_EMULATOR,
        "It answers UNKNOWN, with no message, to some queries in transactions and some cursors.",
        f"{DOCUMENTATION}/concepts/errors",
        fails_itself,
    ),
    Difference(
        "several values",
        FIRESTORE_EMULATOR,
        "It finds an entity once for each value. A query finds an entity once, by its first or last value.",
        QUERIES,
        finds_several_values,
    ),
    Difference(
        "values without a kind",
        FIRESTORE_EMULATOR,
        "It projects, sums and tells apart values over all kinds. A query without a kind knows only keys.",
        QUERIES,
        kindless_values,
    ),
    Difference(
        "orders behind the key",
        FIRESTORE_EMULATOR,
        "It wants properties that can no longer order to be there. Google's index tool drops such orders.",
        f"{DOCUMENTATION}/tools/indexconfig",
        orders_behind_the_key,
    ),
    Difference(
        "pages by key",
        FIRESTORE_EMULATOR,
        "It refuses the cursors that it gives where a key orders before another property of the index.",
        QUERIES,
        pages_by_key,
    ),
    Difference(
        "implied orders",
        FIRESTORE_EMULATOR,
        "What is not ordered, the key at last, takes the direction of the last order. It ascends in indexes.",
        f"{DOCUMENTATION}/concepts/indexes",
        implied_orders,
    ),
    Difference(
        "aggregation over inequalities",
        FIRESTORE_EMULATOR,
        "It does not check whether != and NOT_IN go together with each other and with OR.",
        QUERIES,
        aggregates_what_is_unequal,
    ),
]
