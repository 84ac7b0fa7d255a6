"""Entities to and from JSON lines, beside a running Datastore or without one.

    python -m apps.appengine.local.datastore.transfer export .local/datastore.sqlite3 > entities.jsonl
    python -m apps.appengine.local.datastore.transfer import .local/datastore.sqlite3 < entities.jsonl

A line is an Entity as Datastore's REST API writes it.
https://cloud.google.com/datastore/docs/reference/data/rest/v1/Entity
"""

import argparse
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from itertools import batched
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from apps.appengine.local.refusals import Refused

from . import table
from .commit import Commit
from .messages import Entity, types
from .store import Store
from .table import Stored

CommitRequest: Any = types.CommitRequest.pb()
LINES_A_COMMIT = 500


def exported(store: Store) -> Iterator[str]:
    """A line for each entity, in the order of keys, as of one moment."""
    with store.reading() as db:
        for row in db.execute(f"{table.SELECT} key >= ? ORDER BY key", (table.RESERVED + b"\xff",)):
            yield json_format.MessageToJson(
                Stored(*row).entity(), indent=None, sort_keys=True, ensure_ascii=False
            )


def imported(store: Store, lines: Iterable[str]) -> int:
    """Put the entity of each line; how many. Raises ValueError, which names the line: those before are in."""
    count = 0
    for batch in batched(lines, LINES_A_COMMIT):
        commits = [_commit(store, line, number) for number, line in enumerate(batch, count + 1)]

        def put(db: sqlite3.Connection, commits: list[Commit] = commits) -> None:
            for commit in commits:
                commit.apply(db)

        store.write(put)
        count += len(batch)
    return count


def _commit(store: Store, line: str, number: int) -> Commit:
    try:
        entity = json_format.Parse(line, Entity())
        request = CommitRequest(mutations=[{"upsert": entity}])
        request.project_id = entity.key.partition_id.project_id
        request.database_id = entity.key.partition_id.database_id
        return Commit(request, store)
    except (json_format.ParseError, Refused) as error:
        raise ValueError(f"line {number}: {error}") from error


def main() -> None:
    """What is wrong is said in one line."""
    parser = argparse.ArgumentParser(prog="transfer", description="Entities to and from JSON lines.")
    parser.add_argument("way", choices=["export", "import"])
    parser.add_argument("file", type=Path, help="the Datastore's SQLite file")
    args = parser.parse_args()
    try:
        if args.way == "export" and not args.file.exists():
            raise FileNotFoundError("there is no such file.")
        store = Store(args.file)
        if args.way == "export":
            sys.stdout.writelines(f"{line}\n" for line in exported(store))
        else:
            sys.stderr.write(f"{imported(store, sys.stdin):,} entities\n")
        store.close()
    except (sqlite3.Error, ValueError, OSError) as error:
        sys.exit(f"transfer: {args.file}: {error}")


if __name__ == "__main__":
    main()
