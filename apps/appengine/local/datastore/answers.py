"""Answers to lookups, queries and aggregations, from a snapshot.

Each returns its answer and what it depends on, by which a transaction sees whether it still holds.
https://cloud.google.com/datastore/docs/reference/data/rpc/google.datastore.v1
"""

import math
import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Any

from . import encoding, query, table, validate
from .indexes import KEY, Composites
from .messages import Entity, EntityResult, Value, types
from .query import Asked
from .refusals import invalid, unimplemented
from .scan import Row, Scan
from .store import current_version, now
from .table import Stored

LookupResponse: Any = types.LookupResponse.pb()
RunQueryResponse: Any = types.RunQueryResponse.pb()
RunAggregationQueryResponse: Any = types.RunAggregationQueryResponse.pb()
ResultType = types.EntityResult.ResultType
More = types.QueryResultBatch.MoreResultsType
MAX_BATCH = 1000  # results
MAX_BATCH_BYTES = 4 << 20

Depends = list[Any]


def lookup(db: sqlite3.Connection, request: Any) -> tuple[Any, Depends]:
    """Entities by their keys; those that would make the answer too large are deferred. Raises Refused."""
    if len(request.keys) > validate.MAX_LOOKUP:
        raise invalid(f"a lookup takes at most {validate.MAX_LOOKUP} keys.")
    response, depends, size, missing_at = LookupResponse(), [], 0, current_version(db)
    response.read_time.FromMicroseconds(now())
    for key in request.keys:
        validate.fill_partition(key, request)
        validate.key(key)
        if size > MAX_BATCH_BYTES:
            response.deferred.append(key)
            continue
        found = table.find(db, table.stored_key(key))
        if found:
            response.found.append(_result(found))
            size += len(found.proto)
        else:
            response.missing.append(EntityResult(entity=Entity(key=key), version=missing_at or 1))
        depends.append(found and found.version)
    return response, depends


def _result(found: Stored) -> Any:
    result = EntityResult(entity=found.entity(), version=found.version)
    result.create_time.FromMicroseconds(found.created)
    result.update_time.FromMicroseconds(found.updated)
    return result


def run_query(db: sqlite3.Connection, request: Any, composites: Composites) -> tuple[Any, Depends]:
    """A batch of results: all, or as many as an answer holds. Raises Refused."""
    if request.WhichOneof("query_type") != "query":
        raise unimplemented("gql_query")
    of = request.query
    asked = read(of, request, [])
    scan = Scan(asked, composites)
    rows = scan.rows(db, of.start_cursor, of.end_cursor)
    response = RunQueryResponse()
    batch, limit = response.batch, of.limit.value if of.HasField("limit") else math.inf
    batch.entity_result_type, batch.more_results = _result_type(asked), More.NO_MORE_RESULTS
    skipped = list(islice(rows, of.offset))
    last, depends, size = skipped[-1] if skipped else None, [], 0
    batch.skipped_results, batch.skipped_cursor = len(skipped), scan.cursor(last, b"") if last else b""
    for row in rows:
        count = len(batch.entity_results)
        if count >= limit or count >= MAX_BATCH or size > MAX_BATCH_BYTES:
            batch.more_results = More.MORE_RESULTS_AFTER_LIMIT if count >= limit else More.NOT_FINISHED
            break
        result = _row_result(db, asked, row)
        result.cursor = scan.cursor(row, b"")
        batch.entity_results.append(result)
        size += result.ByteSize()
        depends.append((row.entity, result.version))
        last = row
    if batch.more_results == More.NO_MORE_RESULTS and of.end_cursor:
        batch.more_results = More.MORE_RESULTS_AFTER_CURSOR
    batch.end_cursor = scan.cursor(last, of.start_cursor)
    batch.snapshot_version = current_version(db) or 1
    batch.read_time.FromMicroseconds(now())
    return response, depends


def read(of: Any, request: Any, aggregated: list[str]) -> Asked:
    """The query, in the partition that the request names. Raises Refused."""
    holder = types.Key.pb()(partition_id=request.partition_id)
    validate.fill_partition(holder, request)
    for key in _keys(of.filter):
        validate.fill_partition(key, request)
        validate.key(key)
    return query.read(of, encoding.partition(holder), aggregated)


def _keys(of: Any) -> Iterator[Any]:
    """The keys that a filter compares with."""
    for part in of.composite_filter.filters:
        yield from _keys(part)
    value = of.property_filter.value
    for item in (value, *value.array_value.values):
        if item.WhichOneof("value_type") == "key_value":
            yield item.key_value


def _result_type(asked: Asked) -> Any:
    if not asked.projection:
        return ResultType.FULL
    return ResultType.KEY_ONLY if asked.projection == [KEY] else ResultType.PROJECTION


def _row_result(db: sqlite3.Connection, asked: Asked, row: Row) -> Any:
    result = _result(table.get(db, row.entity))
    if asked.projection:
        projected = Entity(key=result.entity.key)
        values = row.values() if asked.projection != [KEY] else {}
        for name in asked.projection:
            if name != KEY:
                projected.properties[name].CopyFrom(encoding.read_value(values[name]))
        result.entity.CopyFrom(projected)
    return result


def run_aggregation(db: sqlite3.Connection, request: Any, composites: Composites) -> tuple[Any, Depends]:
    """COUNT, SUM and AVG over the results of the nested query. Raises Refused."""
    if request.WhichOneof("query_type") != "aggregation_query":
        raise unimplemented("gql_query")
    aggregations = request.aggregation_query.aggregations
    of = request.aggregation_query.nested_query
    if not 1 <= len(aggregations) <= 5:
        raise invalid("an aggregation query has one to five aggregations.")
    names = {_aggregated(each) for each in aggregations}
    asked = read(of, request, sorted(filter(None, names)))
    scan = Scan(asked, composites)
    rows = scan.rows(db, of.start_cursor, of.end_cursor)
    stop = of.offset + of.limit.value if of.HasField("limit") else None
    values = [row.values() if asked.aggregated else {} for row in islice(rows, of.offset, stop)]
    response = RunAggregationQueryResponse()
    result = response.batch.aggregation_results.add()
    for number, each in enumerate(aggregations, 1):
        alias = each.alias or f"property_{number}"
        if alias in result.aggregate_properties:
            raise invalid(f"aggregation aliases are unique: {alias}.")
        result.aggregate_properties[alias].CopyFrom(_aggregate(each, values))
    response.batch.more_results = More.NO_MORE_RESULTS
    response.batch.read_time.FromMicroseconds(now())
    return response, [result.SerializeToString(deterministic=True)]


def _aggregated(of: Any) -> str | None:
    operator = of.WhichOneof("operator")
    if operator is None:
        raise invalid("an aggregation is a count, a sum or an average.")
    return None if operator == "count" else getattr(of, operator).property.name


def _aggregate(of: Any, rows: list[dict[str, bytes]]) -> Any:
    if of.WhichOneof("operator") == "count":
        up_to = of.count.up_to.value if of.count.HasField("up_to") else len(rows)
        return Value(integer_value=min(up_to, len(rows)))
    name = _aggregated(of)
    numbers = [number for row in rows if (number := _number(row[name or ""])) is not None]
    if of.WhichOneof("operator") == "avg":
        return Value(double_value=math.fsum(numbers) / len(numbers)) if numbers else Value(null_value=0)
    total = sum(numbers)
    if isinstance(total, int) and -(1 << 63) <= total < 1 << 63:
        return Value(integer_value=total)
    return Value(double_value=float(total))


def _number(encoded: bytes) -> int | float | None:
    value = encoding.read_value(encoded)
    kind = value.WhichOneof("value_type")
    return getattr(value, kind) if kind in ("integer_value", "double_value") else None
