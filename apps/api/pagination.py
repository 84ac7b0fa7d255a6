"""Lists: `{data, iterator, prevIterator, done}`."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict, cast

from django.db import connection
from django.db.models import F, Model, QuerySet
from django.db.models.functions import Collate
from rest_framework.response import Response

from apps.core.cursors import Cursor, Page

# Ids sort by time in the order of their bytes, which is no language's.
BYTE_ORDER = {"sqlite": "BINARY", "postgresql": "C"}


class ListResponse[T](TypedDict):
    data: list[T]
    iterator: str | None
    prevIterator: str | None
    done: bool


def sql_page[M: Model](rows: QuerySet[M], key: str, cursor: Cursor, *, descending: bool) -> Page[M]:
    """A page of `rows` by the unique column `key`."""
    rows = cast("QuerySet[M]", rows.alias(page_key=Collate(F(key), BYTE_ORDER[connection.vendor])))
    downwards = descending != cursor.backwards
    if cursor.last_id:
        rows = rows.filter(**{"page_key__lt" if downwards else "page_key__gt": cursor.last_id})
    rows = rows.order_by("-page_key" if downwards else "page_key")
    return Page.of(list(rows[: cursor.limit + 1]), cursor)


def answer[T](
    page: Page[T],
    out: Callable[[T], Mapping[str, Any] | None],
    key: str = "id",
    id_of: Callable[[T], str] | None = None,
) -> Response:
    """The page as a list answer. The iterators are the `key` of its last and first item.

    Where `out` gives None an item is not shown, and `id_of` tells the iterators.
    """
    shown = [(item, out(item)) for item in page.items]
    ids = [id_of(item) if id_of else (one or {})[key] for item, one in shown]
    body: ListResponse[Mapping[str, Any]] = {
        "data": [one for _, one in shown if one is not None],
        "iterator": ids[-1] if ids else None,
        "prevIterator": f"-{ids[0]}" if ids else None,
        "done": page.done,
    }
    return Response(body)
