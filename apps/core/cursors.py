"""Paging by id: newest or oldest first, forwards and backwards, never by offset."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cursor:
    """Which page is wanted: `limit` items after `last_id` (before it when `backwards`), or the first page."""

    limit: int = 50
    last_id: str | None = None
    backwards: bool = False

    @classmethod
    def parse(cls, iterator: str | None, limit: int) -> "Cursor":
        """An iterator is the last id seen; a leading `-` goes backwards."""
        if not iterator:
            return cls(limit)
        return cls(limit, iterator.removeprefix("-"), iterator.startswith("-"))


@dataclass(frozen=True)
class Page[T]:
    """Some items in list order, and whether there are more in the direction of travel."""

    items: Sequence[T]
    done: bool

    @classmethod
    def of(cls, fetched: Sequence[T], cursor: Cursor) -> "Page[T]":
        """From up to `limit` + 1 items fetched in the direction of travel."""
        items = list(fetched[: cursor.limit])
        return cls(items[::-1] if cursor.backwards else items, done=len(fetched) <= cursor.limit)
