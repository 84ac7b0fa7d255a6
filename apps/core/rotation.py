"""Every encrypted field written again under the first key, so that an older one can be removed.

One row at a time, each in a statement of its own that holds only if the ciphertext is still the one
that was read: what somebody else writes meanwhile stays. Interrupted, it is run again and goes on with
what is left. Nothing but the ciphertext changes: neither `updated_at` nor the generation of a snapshot.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import ExpressionWrapper, F, QuerySet, Value
from django.db.models.functions import Left

from apps.core import encryption
from apps.core.encryption import DecryptionError, Encrypted

BATCH = 200  # rows that are read at once
PREFIX = 100  # characters of a ciphertext that hold version and key id


@dataclass(frozen=True)
class Column:
    """An encrypted field of a table."""

    model: type[models.Model]
    field: Encrypted

    def __str__(self) -> str:
        return self.field.context

    def rows(self) -> "QuerySet[Any]":
        """The rows that have a value, with `ciphertext`: the field refuses lookups and would decrypt."""
        text = ExpressionWrapper(F(self.field.attname), models.TextField())
        filled = self.model._base_manager.filter(**{f"{self.field.attname}__isnull": False})
        rows: QuerySet[Any] = filled.annotate(ciphertext=text)
        return rows


@dataclass(frozen=True)
class Batch:
    """What became of the rows read together."""

    written: int = 0
    changed_meanwhile: int = 0  # by somebody else: seen again by the next run, unless already under the key
    unreadable: tuple[str, ...] = ()  # why, for each row that stays as it is


def columns() -> list[Column]:
    """The encrypted fields of every installed app, by name."""
    found = [
        Column(model, field)
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.local_fields
        if isinstance(field, Encrypted)
    ]
    return sorted(found, key=str)


def usage(column: Column) -> Counter[str]:
    """How many rows are encrypted under which key id; "?" for what is no ciphertext."""
    beginnings = column.rows().annotate(beginning=Left("ciphertext", PREFIX))
    return Counter(map(key_of, beginnings.values_list("beginning", flat=True).iterator(2_000)))


def key_of(ciphertext: str) -> str:
    version, _, rest = ciphertext.partition(":")
    key_id, separator, _ = rest.partition(":")
    return key_id if version == encryption.VERSION and separator else "?"


def rotate(column: Column) -> Iterator[Batch]:
    """Write the column's rows under the first key, a batch a step, those under it already left alone."""
    first = next(iter(encryption.keys()))
    remaining = column.rows().exclude(ciphertext__startswith=f"{encryption.VERSION}:{first}:").order_by("pk")
    last: Any = None
    while True:
        rows = remaining if last is None else remaining.filter(pk__gt=last)
        batch = list(rows.values_list("pk", "ciphertext")[:BATCH])
        if not batch:
            return
        last = batch[-1][0]
        yield _write(column, batch)


def _write(column: Column, batch: list[tuple[Any, str]]) -> Batch:
    written, unreadable = 0, []
    for key, ciphertext in batch:
        try:
            text = encryption.decrypt(ciphertext, context=column.field.context)
        except DecryptionError as error:
            unreadable.append(f"{key}: {error}")
            continue
        anew = encryption.encrypt(text, context=column.field.context)
        unchanged = column.rows().filter(pk=key, ciphertext=ciphertext)
        # As a plain text: the field itself would encrypt it once more.
        written += unchanged.update(**{column.field.attname: Value(anew, models.TextField())})
    return Batch(written, len(batch) - written - len(unreadable), tuple(unreadable))
