"""GQL in, a query of the Datastore API out.

    SELECT * | [DISTINCT] names  FROM kind  WHERE ... AND ...  ORDER BY ...  LIMIT n  OFFSET n

https://cloud.google.com/datastore/docs/reference/gql_reference
"""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from apps.appengine.local.datastore.messages import Key, Property, Query, Value, types

NAME = re.compile(r"`[^`]+`|[^\W\d][\w.$]*")
WORD = re.compile(
    rf"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[+-]?\d[\w.+-]*|{NAME.pattern}|[<>!]=|\S""", re.DOTALL
)
OPERATORS = {
    ("=",): Property.EQUAL,
    ("!=",): Property.NOT_EQUAL,
    ("<",): Property.LESS_THAN,
    ("<=",): Property.LESS_THAN_OR_EQUAL,
    (">",): Property.GREATER_THAN,
    (">=",): Property.GREATER_THAN_OR_EQUAL,
    ("IN",): Property.IN,
    ("NOT", "IN"): Property.NOT_IN,
    ("HAS", "ANCESTOR"): Property.HAS_ANCESTOR,
}
CONSTANTS: dict[str, Any] = {
    "TRUE": {"boolean_value": True},
    "FALSE": {"boolean_value": False},
    "NULL": {"null_value": 0},
}
FIELDS = {str: "string_value", int: "integer_value", float: "double_value"}
AND = types.CompositeFilter.Operator.AND
DIRECTIONS = {False: types.PropertyOrder.Direction.ASCENDING, True: types.PropertyOrder.Direction.DESCENDING}


class GqlError(ValueError):
    """The text is no GQL; the message says where."""


def parse(text: str, partition: Any) -> Any:
    """The query; keys in it are of `partition`. Raises GqlError."""
    return Reader(text, partition).query()


class Reader:
    """Reads a text word by word: each method takes from it what it is named for, or raises GqlError."""

    def __init__(self, text: str, partition: Any) -> None:
        self._words = WORD.findall(text)[::-1]
        self._partition = partition

    def query(self) -> Any:
        """All of it."""
        query = Query()
        self._expect("SELECT")
        self._columns(query)
        if self._take("FROM"):
            query.kind.add().name = self._name("a kind")
        for _ in self._list("WHERE", between="AND"):
            self._condition(query.filter.composite_filter)
        for _ in self._list("ORDER", "BY", between=","):
            name = self._name("a property")
            descends = not self._take("ASC") and self._take("DESC")
            query.order.add(direction=DIRECTIONS[descends]).property.name = name
        if self._take("LIMIT"):
            query.limit.value = self._count()
        if self._take("OFFSET"):
            query.offset = self._count()
        if self._words:
            raise self._unexpected("the end")
        return query

    def _columns(self, query: Any) -> None:
        if self._take("*"):
            return
        distinct = self._take("DISTINCT")
        for _ in self._list(between=","):
            name = self._name("* or a property")
            query.projection.add().property.name = name
            if distinct:
                query.distinct_on.add().name = name

    def _condition(self, conditions: Any) -> None:
        conditions.op, found = AND, conditions.filters.add().property_filter
        found.property.name = self._name("a property")
        found.op = next((operator for words, operator in OPERATORS.items() if self._take(*words)), 0)
        if not found.op:
            raise self._unexpected("a comparison")
        if found.op not in (Property.IN, Property.NOT_IN):
            found.value.CopyFrom(self._value())
            return
        found.value.array_value.values.extend(self._value() for _ in self._list("(", between=","))
        self._expect(")")

    def _value(self) -> Any:
        for word, value in CONSTANTS.items():
            if self._take(word):
                return Value(**value)
        for word, read in {"KEY": self._key, "DATETIME": self._datetime}.items():
            if self._take(word, "("):
                value = read()
                self._expect(")")
                return value
        literal = self._literal(str, int, float)
        return Value(**{FIELDS[type(literal)]: literal})

    def _key(self) -> Any:
        key = Key(partition_id=self._partition)
        for _ in self._list(between=","):
            part = key.path.add(kind=self._name("a kind"))
            self._expect(",")
            identity = self._literal(str, int)
            setattr(part, "name" if isinstance(identity, str) else "id", identity)
        return Value(key_value=key)

    def _datetime(self) -> Any:
        value, text = Value(), self._literal(str)
        try:
            at = datetime.fromisoformat(text)
        except ValueError as error:
            raise GqlError(f"{text!r} is no time, such as '2026-01-31T12:00:00Z'.") from error
        value.timestamp_value.FromDatetime(at if at.tzinfo else at.replace(tzinfo=UTC))
        return value

    def _count(self) -> int:
        count: int = self._literal(int)
        if not 0 <= count < 1 << 31:
            raise GqlError(f"{count} is no count.")
        return count

    def _literal(self, *wanted: type) -> Any:
        """GQL's texts and numbers are written as Python's."""
        try:
            literal = ast.literal_eval(self._words[-1])
            Value(**{FIELDS[type(literal)]: literal})
        except (IndexError, KeyError, SyntaxError, ValueError) as error:
            raise self._unexpected("a value") from error
        if not isinstance(literal, wanted):
            raise self._unexpected(" or ".join(each.__name__ for each in wanted))
        self._words.pop()
        return literal

    def _name(self, wanted: str) -> str:
        if not self._words or not NAME.fullmatch(self._words[-1]):
            raise self._unexpected(wanted)
        return str(self._words.pop()).strip("`")

    def _list(self, *first: str, between: str) -> Iterator[None]:
        """Once for each item of a list; not at all if the words before it are not there."""
        if first and not self._take(*first):
            return
        yield
        while self._take(between):
            yield

    def _take(self, *words: str) -> bool:
        """Whether these words, in any case of letters, were next: they are then taken."""
        if [word.upper() for word in self._words[: -len(words) - 1 : -1]] != list(words):
            return False
        del self._words[-len(words) :]
        return True

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._unexpected(word)

    def _unexpected(self, wanted: str) -> GqlError:
        return GqlError(f"Expected {wanted}, found {self._words[-1] if self._words else 'the end'}.")
