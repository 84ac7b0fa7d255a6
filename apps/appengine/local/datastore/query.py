"""What a query asks for, as a union of conjunctions over encoded values.

https://cloud.google.com/datastore/docs/reference/data/rpc/google.datastore.v1#query
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from apps.appengine.local.refusals import invalid, unimplemented

from . import encoding, validate
from .indexes import KEY, Properties
from .messages import Property, types

MAX_DISJUNCTS = 30
MAX_NOT_IN = 10
OR = types.CompositeFilter.Operator.OR


@dataclass(frozen=True, order=True)
class Position:
    """A place between encodings, ascending: just before `encoded` and all that begins with it, or after."""

    encoded: bytes
    after: bool = False

    def bytes(self, *, descends: bool = False) -> bytes:
        """The first bytes behind this place in an index that ascends, or descends."""
        encoded = encoding.turned(self.encoded) if descends else self.encoded
        return encoded + encoding.AFTER if self.after != descends else encoded


FIRST, LAST = Position(b""), Position(b"", after=True)


@dataclass(frozen=True)
class Range:
    """The encodings between two places."""

    start: Position = FIRST
    end: Position = LAST

    def __and__(self, other: "Range") -> "Range":
        return Range(
            max(self.start, other.start, key=Position.bytes), min(self.end, other.end, key=Position.bytes)
        )

    def __contains__(self, encoded: bytes) -> bool:
        return self.start.bytes() <= encoded < self.end.bytes()


@dataclass
class Conjunction:
    """Filters that must all hold."""

    equal: set[tuple[str, bytes]] = field(default_factory=set)
    ranges: dict[str, Range] = field(default_factory=dict)
    ancestor: bytes = b""

    def limit(self, name: str, within: Range) -> None:
        self.ranges[name] = self.ranges.get(name, Range()) & within


@dataclass
class Asked:
    """A query, checked."""

    partition: bytes
    kind: str  # empty for all kinds
    conjunctions: list[Conjunction]
    orders: Properties  # up to the key, which decides
    ranged: list[str]  # in some alternative; an entity has all of these properties to be a result
    projection: list[str]
    distinct: list[str]
    aggregated: list[str]  # names of properties whose values are wanted too


def read(query: Any, holder: Any, aggregated: list[str]) -> Asked:
    """The query in the partition of `holder`, a key. Raises Refused."""
    for each in filters(query.filter):
        if hasattr(each, "property"):
            validate.filter_value(holder.partition_id, each.property.name, each.value)
    if query.HasField("find_nearest"):
        raise unimplemented("find_nearest")
    if len(query.kind) > 1:
        raise invalid("a query has at most one kind.")
    conjunctions = [_conjunction(terms) for terms in _disjuncts(query.filter)]
    ranged = sorted({name for terms in conjunctions for name in terms.ranges} - {KEY})
    asked = Asked(
        encoding.partition(holder),
        query.kind[0].name if query.kind else "",
        conjunctions,
        _orders(query),
        ranged,
        list(dict.fromkeys(each.property.name for each in query.projection)),
        list(dict.fromkeys(each.name for each in query.distinct_on)),
        aggregated,
    )
    _check(query, asked)
    if len(ranged) == 1 and not asked.orders and not asked.distinct:
        asked.orders = ((ranged[0], False),)
    return asked


def _orders(query: Any) -> Properties:
    orders: Properties = ()
    for order in query.order:
        if any(name in (KEY, order.property.name) for name, _ in orders):
            continue
        orders += ((order.property.name, order.direction == types.PropertyOrder.Direction.DESCENDING),)
    return orders


def _check(query: Any, asked: Asked) -> None:
    if query.offset < 0 or query.limit.value < 0:
        raise invalid("offset and limit are not negative.")
    _check_operators(query)
    if len({terms.ancestor for terms in asked.conjunctions}) > 1:
        raise invalid("all disjunctions must have a common and unique ancestor constraint.")
    equal = {name for terms in asked.conjunctions for name, _ in terms.equal}
    if both := equal & set(asked.projection):
        raise invalid(
            f"cannot use projection on a property with an equality filter: {', '.join(sorted(both))}."
        )
    _check_distinct(asked)
    if len(asked.projection) < len(query.projection) or len(asked.distinct) < len(query.distinct_on):
        raise invalid("cannot project, or group by, a property multiple times.")
    if asked.projection and not set(asked.aggregated) <= set(asked.projection):
        raise invalid("an aggregated property is in the projection of the query, where it has one.")
    if not asked.kind:
        _check_kindless(asked)


def _check_kindless(asked: Asked) -> None:
    used = {name for terms in asked.conjunctions for name in (*terms.ranges, *dict(terms.equal))}
    used |= {*asked.projection, *asked.aggregated, *asked.distinct}
    if used - {KEY} or asked.orders not in ((), ((KEY, False),)):
        raise invalid("kind is required for all filters and orders except __key__ ascending.")


def filters(of: Any) -> Iterator[Any]:
    """The property filters, and the composite ones around them."""
    if of.WhichOneof("filter_type"):
        yield getattr(of, of.WhichOneof("filter_type"))
    for part in of.composite_filter.filters:
        yield from filters(part)


def _check_operators(query: Any) -> None:
    """What may stand beside what, whichever way the filter is written."""
    operators = [each.op for each in filters(query.filter) if hasattr(each, "property")]
    unions = [each for each in filters(query.filter) if not hasattr(each, "property") and each.op == OR]
    if operators.count(Property.NOT_EQUAL) + operators.count(Property.NOT_IN) > 1:
        raise invalid("only a single NOT_EQUAL or NOT_IN is allowed per query.")
    if Property.NOT_IN in operators and (unions or Property.IN in operators):
        raise invalid("NOT_IN cannot be used in the same query with IN or OR.")


def _check_distinct(asked: Asked) -> None:
    """Results are ordered as asked for, and then by the distinct properties that are not ordered yet."""
    equal = {name for terms in asked.conjunctions for name, _ in terms.equal}
    if wrong := (equal | {KEY}) & set(asked.distinct):
        raise invalid(f"group by is not supported for a key or for an equality: {', '.join(sorted(wrong))}.")
    grouped = [name in asked.distinct for name in dict.fromkeys((*dict(asked.orders), *asked.distinct))]
    if asked.distinct and grouped != sorted(grouped, reverse=True):
        raise invalid("all group by properties must be ordered before any non group by properties.")


def _disjuncts(of: Any) -> list[list[Any]]:
    """The filter in disjunctive normal form: alternatives, each a list of (name, operator, value)."""
    match of.WhichOneof("filter_type"):
        case "composite_filter":
            parts = [_disjuncts(part) for part in of.composite_filter.filters]
            if not parts or not of.composite_filter.op:
                raise invalid("a composite filter has an operator and at least one filter.")
            if of.composite_filter.op == OR:
                _check_count(sum(map(len, parts)))
                return [terms for part in parts for terms in part]
            _check_count(prod(map(len, parts)))
            return [[term for terms in choice for term in terms] for choice in product(*parts)]
        case "property_filter":
            found = [[term] for term in _terms(of.property_filter)]
            _check_count(len(found))
            return found
        case _:
            return [[]]


def _check_count(disjuncts: int) -> None:
    if disjuncts > MAX_DISJUNCTS:
        raise invalid(f"a query has at most {MAX_DISJUNCTS} disjunctions after normalization.")


def _terms(of: Any) -> Iterator[tuple[str, Any, Any]]:
    """A filter as alternatives that are equalities, ranges or ancestors."""
    name, operator, value = of.property.name, of.op, of.value
    if not name:
        raise invalid("a filter names a property.")
    if operator == Property.IN:
        yield from ((name, Property.EQUAL, _encoded(name, item)) for item in _items(of))
    elif operator in (Property.NOT_EQUAL, Property.NOT_IN):
        values = _items(of) if operator == Property.NOT_IN else [value]
        if len(values) > MAX_NOT_IN:
            raise invalid(f"NOT_IN has at most {MAX_NOT_IN} values.")
        yield from ((name, None, each) for each in _between({_encoded(name, item) for item in values}))
    elif operator == Property.HAS_ANCESTOR:
        if name != KEY or value.WhichOneof("value_type") != "key_value":
            raise invalid("HAS_ANCESTOR is for __key__ and a key.")
        yield name, operator, encoding.path_prefix(value.key_value.path)
    else:
        yield _comparison(name, operator, _encoded(name, value))


def _between(excluded: set[bytes]) -> Iterator[Range]:
    """All but these."""
    ends = [Position(encoded) for encoded in sorted(excluded)]
    starts = [Position(end.encoded, after=True) for end in ends]
    yield from map(Range, [FIRST, *starts], [*ends, LAST])


def _items(of: Any) -> Any:
    if of.value.WhichOneof("value_type") != "array_value" or not of.value.array_value.values:
        raise invalid("IN and NOT_IN need an array with at least one value.")
    return of.value.array_value.values


def _encoded(name: str, value: Any) -> bytes:
    """A key that is compared with the entity's own is encoded as the path it is in the index."""
    if name != KEY:
        return encoding.value(value)
    if value.WhichOneof("value_type") != "key_value":
        raise invalid("__key__ is compared with a key.")
    return encoding.path(value.key_value)


def _comparison(name: str, operator: Any, encoded: bytes) -> tuple[str, Any, Any]:
    before, after = Position(encoded), Position(encoded, after=True)
    ranges = {
        Property.LESS_THAN: Range(end=before),
        Property.LESS_THAN_OR_EQUAL: Range(end=after),
        Property.GREATER_THAN: Range(after),
        Property.GREATER_THAN_OR_EQUAL: Range(before),
    }
    if operator == Property.EQUAL:
        return name, operator, encoded
    if operator not in ranges:
        raise invalid(f"unknown operator in the filter of {name}.")
    return name, None, ranges[operator]


def _conjunction(terms: list[Any]) -> Conjunction:
    found = Conjunction()
    for name, operator, value in terms:
        if operator == Property.HAS_ANCESTOR:
            found.ancestor = max(found.ancestor, value, key=len)
            found.limit(KEY, Range(Position(value), Position(value, after=True)))
        elif operator is None:
            found.limit(name, value)
        elif name == KEY:
            found.limit(KEY, Range(Position(value), Position(value, after=True)))
        else:
            found.equal.add((name, value))
    return found
