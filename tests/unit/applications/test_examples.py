from typing import Any

import pytest

from apps.applications import examples
from apps.applications.examples import NoExample

INVOICE = {
    "type": "object",
    "title": "Invoice",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "amount": {"type": "integer", "minimum": 1},
        "paid": {"type": ["null", "boolean"]},
        "currency": {"enum": ["EUR", "USD"]},
        "customer": {"$ref": "#/definitions/Customer"},
        "lines": {"type": "array", "items": {"properties": {"text": {"type": "string"}}}},
        "note": {"type": "null"},
        "version": {"const": 2},
        "due": {"oneOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "both": {
            "allOf": [{"properties": {"a": {"default": 1}}}, {"properties": {"b": {"examples": [2, 3]}}}]
        },
    },
    "definitions": {"Customer": {"type": "object", "properties": {"email": {"example": "a@example.com"}}}},
}


def test_an_example_has_what_the_schema_describes() -> None:
    assert examples.of({"1": INVOICE}) == {
        "id": "00000000-0000-4000-8000-000000000000",
        "amount": 1,
        "paid": True,
        "currency": "EUR",
        "customer": {"email": "a@example.com"},
        "lines": [{"text": "string"}],
        "note": None,
        "version": 2,
        "due": "2030-01-31",
        "both": {"a": 1, "b": 2},
    }


def test_the_authors_examples_are_taken_as_they_are() -> None:
    schemas = {"1": {**INVOICE, "examples": [{"first": 1}, {"second": 2}]}}
    assert examples.of(schemas) == {"first": 1}
    assert examples.of(schemas, 1) == {"second": 2}
    with pytest.raises(NoExample, match="2 examples"):
        examples.of(schemas, 2)


def test_the_newest_version_counts_and_numbers_are_numbers() -> None:
    schemas = {number: {"example": {"version": number}} for number in ("1", "10", "9", "draft")}
    assert examples.of(schemas) == {"version": "10"}


@pytest.mark.parametrize(
    "schemas",
    [
        None,
        {},
        {"1": {}},
        {"1": {"type": "string"}},
        {"1": {"type": "array", "items": INVOICE}},
        {"1": {"examples": ["text"]}},
        {"1": []},
        {"1": True},
        {"1": {"$ref": "https://example.com/schema"}},
        {"1": {"$ref": "file:///etc/passwd"}},
        {"1": {"$ref": "#/nowhere"}},
        {"1": {"$ref": "#"}},
        {"1": {"$ref": 1}},
    ],
)
def test_where_there_is_no_object_to_be_made_there_is_no_example(schemas: Any) -> None:
    with pytest.raises(NoExample):
        examples.of(schemas)


def test_a_schema_within_itself_ends() -> None:
    schema = {"properties": {"child": {"$ref": "#"}, "~/": {"$ref": "#/properties/~0~1/x"}}}
    example, depth = examples.of({"1": schema}), 0
    while example and example["child"]:
        example, depth = example["child"], depth + 1
    assert 1 <= depth <= examples.DEEPEST


def test_references_that_multiply_make_a_bounded_example() -> None:
    many = {f"p{number}": {"$ref": "#/definitions/many"} for number in range(50)}
    schema = {"properties": many, "definitions": {"many": {"properties": many}}}

    def size(value: Any) -> int:
        return 1 + sum(map(size, value.values())) if isinstance(value, dict) else 1

    assert size(examples.of({"1": schema})) < examples.MOST * 60


def test_references_to_what_is_large_are_refused_before_they_fill_the_memory() -> None:
    large = {"$ref": "#/definitions/large"}
    schema = {
        "properties": {f"p{number}": large for number in range(100)},
        "definitions": {"large": {"example": "x" * 100_000}},
    }
    with pytest.raises(NoExample, match="too large"):
        examples.of({"1": schema})


@pytest.mark.parametrize("value", [1, "x", None, [], [1], {"a": 1}, True])
@pytest.mark.parametrize(
    "keyword",
    [
        "type",
        "properties",
        "items",
        "allOf",
        "oneOf",
        "anyOf",
        "$ref",
        "examples",
        "enum",
        "format",
        "minimum",
    ],
)
def test_no_schema_is_a_fault(keyword: str, value: Any) -> None:
    for inner in ({keyword: value}, {"type": "integer", keyword: value}, {"type": "string", keyword: value}):
        examples.of({"1": {"properties": {"x": inner}}})
