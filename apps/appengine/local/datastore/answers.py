"""Answers to lookups, queries and aggregations, from a snapshot.

Each returns its answer and what it depends on, by which a transaction sees whether it still holds.
https://cloud.google.com/datastore/docs/reference/data/rpc/google.datastore.v1
"""

import itertools
import math
import sqlite3
from itertools import islice
from typing import Any

from apps.appengine.local.refusals import invalid, refuse_fields, unimplemented

from . import encoding, query, table, validate
from .indexes import KEY
from .messages import Entity, EntityResult, Key, Value, types
from .query import Asked
from .scan import Row, Scan
from .store import composites_of, current_version, now
from .table import Stored

LookupResponse: Any = types.LookupResponse.pb()
RunQueryResponse: Any = types.RunQueryResponse.pb()
RunAggregationQueryResponse: Any = types.RunAggregationQueryResponse.pb()
ResultType = types.EntityResult.ResultType
More = types.QueryResultBatch.MoreResultsType
MAX_BATCH = 1000  # results
MAX_BATCH_BYTES = 4_000_000  # of results; gRPC clients take 4 MiB unless told otherwise

Depends = list[Any]


def lookup(db: sqlite3.Connection, request: Any) -> tuple[Any, Depends]:
    """Entities by their keys; those that would make the answer too large are deferred. Raises Refused."""
    if len(request.keys) > validate.MAX_LOOKUP:
        raise invalid(f"a lookup takes at most {validate.MAX_LOOKUP} keys.")
    response, size, missing_at = LookupResponse(), 0, current_version(db)
    depends: Depends = []
    response.read_time.FromMicroseconds(now())
    for key in request.keys:
        validate.fill_partition(key, request)
        validate.key(key)
        found = table.find(db, table.stored_key(key))
        result = _result(found) if found else EntityResult(entity=Entity(key=key), version=missing_at)
        size += result.ByteSize()
        if size > MAX_BATCH_BYTES and depends:
            response.deferred.append(key)
            continue
        (response.found if found else response.missing).append(result)
        depends.append(found and found.version)
    return response, depends


def _result(found: Stored) -> Any:
    result = EntityResult(entity=found.entity(), version=found.version)
    result.create_time.FromMicroseconds(found.created)
    result.update_time.FromMicroseconds(found.updated)
    return result


def run_query(db: sqlite3.Connection, request: Any) -> tuple[Any, Depends]:
    """A batch of results: all, or as many as an answer holds. Raises Refused."""
    if request.WhichOneof("query_type") != "query":
        raise unimplemented("gql_query")
    asked = read(request.query, request, [])
    scan, response, depends = Scan(asked, composites_of(db)), RunQueryResponse(), []
    if not request.HasField("explain_options") or request.explain_options.analyze:
        depends = _fill(response.batch, db, scan, request.query)
    if request.HasField("explain_options"):
        _explain(response.explain_metrics.plan_summary.indexes_used, scan)
    response.batch.entity_result_type = _result_type(asked)
    response.batch.snapshot_version = current_version(db)
    response.batch.read_time.FromMicroseconds(now())
    return response, depends


def _fill(batch: Any, db: sqlite3.Connection, scan: Scan, of: Any) -> Depends:
    """Put results into the batch, and cursors; what the batch depends on."""
    rows = scan.rows(db, of.start_cursor, of.end_cursor)
    skipped = list(islice(rows, of.offset))
    last = skipped[-1] if skipped else None
    batch.skipped_results, batch.skipped_cursor = len(skipped), scan.cursor(last, b"") if last else b""
    batch.more_results = More.MORE_RESULTS_AFTER_CURSOR if of.end_cursor else More.NO_MORE_RESULTS
    limit, size = of.limit.value if of.HasField("limit") else math.inf, 0
    depends: Depends = []
    for row in rows:
        if len(depends) >= limit:
            batch.more_results = More.MORE_RESULTS_AFTER_LIMIT
            break
        result = _row_result(db, scan.asked, row)
        result.cursor = scan.cursor(row, b"")
        size += result.ByteSize()
        if depends and (len(depends) >= MAX_BATCH or size > MAX_BATCH_BYTES):
            batch.more_results = More.NOT_FINISHED
            break
        batch.entity_results.append(result)
        depends.append((row.entity, result.version))
        last = row
    batch.end_cursor = scan.cursor(last, of.start_cursor)
    return depends


def _explain(used: Any, scan: Scan) -> None:
    """https://cloud.google.com/datastore/docs/query-explain-analyze-report-reference."""
    for index in dict.fromkeys(index for plan in scan.plans for index in plan.indexes):
        last = () if KEY in dict(index.properties) else ((KEY, False),)
        properties = [
            f"{'__name__' if name == KEY else name} {'DESC' if descends else 'ASC'}"
            for name, descends in (*index.properties, *last)
        ]
        scope = "Includes Ancestors" if index.ancestor else "Collection Group"
        used.add().update({"query_scope": scope, "properties": f"({', '.join(properties)})"})


def read(of: Any, request: Any, aggregated: list[str]) -> Asked:
    """The query, in the partition that the request names. Raises Refused."""
    holder = Key(partition_id=request.partition_id)
    validate.fill_partition(holder, request)
    for each in query.filters(of.filter):
        if hasattr(each, "property"):
            _fill_keys(each, holder, request)
    return query.read(of, holder, aggregated)


def _fill_keys(of: Any, holder: Any, request: Any) -> None:
    """Complete the keys that a filter compares with."""
    for item in (of.value, *of.value.array_value.values):
        if of.property.name == KEY and item.WhichOneof("value_type") == "key_value":
            validate.fill_partition(item.key_value, request)
            if item.key_value.partition_id != holder.partition_id:
                raise invalid("the keys in filters of __key__ are of the query's namespace.")


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


def run_aggregation(db: sqlite3.Connection, request: Any) -> tuple[Any, Depends]:
    """COUNT, SUM and AVG over the results of the nested query. Raises Refused."""
    refuse_fields(request, "explain_options")
    if request.WhichOneof("query_type") != "aggregation_query":
        raise unimplemented("gql_query")
    aggregations = request.aggregation_query.aggregations
    of = request.aggregation_query.nested_query
    if not 1 <= len(aggregations) <= 5:
        raise invalid("an aggregation query has one to five aggregations.")
    names = {_aggregated(each) for each in aggregations}
    asked = read(of, request, sorted(filter(None, names)))
    rows = Scan(asked, composites_of(db)).rows(db, of.start_cursor, of.end_cursor)
    stop = of.offset + of.limit.value if of.HasField("limit") else None
    totals = _Totals(names - {None})
    for row in islice(rows, of.offset, stop):
        totals.add(row)
    response = RunAggregationQueryResponse()
    result = response.batch.aggregation_results.add()
    unnamed = itertools.count(1)
    for each in aggregations:
        alias = each.alias or f"property_{next(unnamed)}"
        if alias in result.aggregate_properties or validate.RESERVED.fullmatch(alias):
            raise invalid(f"aliases of aggregations are unique, and not of the form __*__: {alias}.")
        result.aggregate_properties[alias].CopyFrom(totals.of(each))
    response.batch.more_results = More.NO_MORE_RESULTS
    response.batch.read_time.FromMicroseconds(now())
    return response, [result.SerializeToString(deterministic=True)]


def _aggregated(of: Any) -> str | None:
    operator = of.WhichOneof("operator")
    if operator is None or (operator == "count" and of.count.HasField("up_to") and of.count.up_to.value < 0):
        raise invalid("an aggregation is a count, up to a number from zero, a sum or an average.")
    if operator == "count":
        return None
    name: str = getattr(of, operator).property.name
    if name in ("", KEY):
        raise invalid("a sum or an average is of a property.")
    return name


class _Totals:
    """Counts the rows, and keeps the numbers of the properties that are summed."""

    def __init__(self, names: set[Any]) -> None:
        self.count = 0
        self.numbers: dict[str, list[int | float]] = {name: [] for name in names}

    def add(self, row: Row) -> None:
        self.count += 1
        values = row.values() if self.numbers else {}
        for name, numbers in self.numbers.items():
            if (number := _number(values[name])) is not None:
                numbers.append(number)

    def of(self, aggregation: Any) -> Any:
        """The value of one of the aggregations."""
        operator = aggregation.WhichOneof("operator")
        if operator == "count":
            up_to = aggregation.count.up_to.value if aggregation.count.HasField("up_to") else self.count
            return Value(integer_value=min(up_to, self.count))
        numbers = self.numbers[getattr(aggregation, operator).property.name]
        if operator == "avg":
            return (
                Value(double_value=sum(map(float, numbers)) / len(numbers))
                if numbers
                else Value(null_value=0)
            )
        total = sum(numbers)
        if isinstance(total, int) and -(1 << 63) <= total < 1 << 63:
            return Value(integer_value=total)
        return Value(double_value=float(total))


def _number(encoded: bytes) -> int | float | None:
    value = encoding.read_value(encoded)
    kind = value.WhichOneof("value_type")
    return getattr(value, kind) if kind in ("integer_value", "double_value") else None
