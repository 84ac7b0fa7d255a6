"""The SQLite file: entities, index entries, snapshots for readers, one writer.

A commit has reached the disk (WAL, synchronous) before it is answered; commits that wait at the same moment
share one SQLite transaction and its sync. Nothing is kept in memory that another process, or the next
one after a kill, would miss.
"""

import queue
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import indexes
from .indexes import Composites
from .messages import Entity

SCHEMA = """
CREATE TABLE IF NOT EXISTS entity (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, proto BLOB NOT NULL,
    version INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, expires INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS expiring ON entity (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS entry (entry BLOB PRIMARY KEY, entity INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
FORMAT = 1
BUSY_SECONDS = 30
CACHE_KIB = 2000

type Job = tuple[Callable[[sqlite3.Connection], Any], Future[Any]]


class Store:
    """Opened on a file, or on none: then it forgets."""

    def __init__(self, path: Path | None, composites: Composites) -> None:
        """Raises sqlite3.Error, ValueError: the file is of another format."""
        self._folder = None if path else tempfile.TemporaryDirectory(prefix="datastore-")
        self._path = path or Path(self._folder.name if self._folder else "") / "memory"
        self._synchronous = "FULL" if path else "OFF"
        self._idle: list[sqlite3.Connection] = []
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = self._connect()
        self._prepare(composites)
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return db

    def _prepare(self, composites: Composites) -> None:
        db = self._writer
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found not in (0, FORMAT):
            raise ValueError(f"{self._path} has format {found}; this Datastore reads {FORMAT}. Delete it.")
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {FORMAT}")
        _build_indexes(db, composites)
        db.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A snapshot of what is committed."""
        db = self.snapshot()
        try:
            yield db
        finally:
            self.release(db)

    def snapshot(self) -> sqlite3.Connection:
        """What is committed now, for as long as it is wanted: give it to `release`."""
        db = self._idle.pop() if self._idle else self._connect()
        db.execute("BEGIN")
        db.execute("SELECT 1 FROM state").fetchone()  # the first read takes the snapshot
        return db

    def release(self, db: sqlite3.Connection) -> None:
        """End a snapshot."""
        db.execute("ROLLBACK")
        self._idle.append(db)

    def write[T](self, job: Callable[[sqlite3.Connection], T]) -> T:
        """What `job` returns, once what it wrote is durable. What it raises undoes all it wrote."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future.result()

    def reset(self) -> None:
        """Forget all entities."""
        self.write(lambda db: [db.execute("DELETE FROM entity"), db.execute("DELETE FROM entry")])

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._jobs.put(None)
        self._thread.join()
        for db in (*self._idle, self._writer):
            db.close()
        if self._folder:
            self._folder.cleanup()

    def _work(self) -> None:
        closing = False
        while not closing:
            waiting = [self._jobs.get()]
            while not self._jobs.empty():
                waiting.append(self._jobs.get())
            closing = None in waiting
            self._commit([job for job in waiting if job])

    def _commit(self, jobs: list[Job]) -> None:
        """All in one SQLite transaction; one that fails undoes only its own."""
        done: list[tuple[Future[Any], Any]] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for job, future in jobs:
                self._run(job, future, done)
            self._writer.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  a full disk, say: whoever waits gets it
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for _, future in jobs:
                if not future.done():
                    future.set_exception(error)
        else:
            for future, result in done:
                future.set_result(result)

    def _run(self, job: Callable[[sqlite3.Connection], Any], future: Future[Any], done: list[Any]) -> None:
        self._writer.execute("SAVEPOINT job")
        try:
            done.append((future, job(self._writer)))
        except sqlite3.Error:
            raise  # the disk, not the job: nothing of this transaction is sure
        except Exception as error:  # noqa: BLE001  whoever asked for the job gets it
            self._writer.execute("ROLLBACK TO job")
            future.set_exception(error)
        self._writer.execute("RELEASE job")


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def tick(db: sqlite3.Connection) -> int:
    """The version of a commit: its time in microseconds, later than every one before."""
    version = max(now(), current_version(db) + 1)
    db.execute("INSERT OR REPLACE INTO state VALUES ('version', ?)", (version,))
    return version


def current_version(db: sqlite3.Connection) -> int:
    """Of the last commit in this snapshot."""
    found = db.execute("SELECT value FROM state WHERE name = 'version'").fetchone()
    return found[0] if found else 0


def put_entries(db: sqlite3.Connection, entity: int, old: set[bytes], new: set[bytes]) -> int:
    """Make the index entries of an entity `new`; how many changed."""
    db.executemany("DELETE FROM entry WHERE entry = ?", [(entry,) for entry in old - new])
    db.executemany("INSERT INTO entry VALUES (?, ?)", [(entry, entity) for entry in sorted(new - old)])
    return len(old ^ new)


def _build_indexes(db: sqlite3.Connection, composites: Composites) -> None:
    """Bring the entries in line with index.yaml when it has changed since the last start."""
    listed = [index.as_yaml() for of_kind in composites.values() for index in of_kind]
    wanted = "indexes:\n" + "\n".join(listed)
    found = db.execute("SELECT value FROM state WHERE name = 'index.yaml'").fetchone()
    before = indexes.parse(found[0]) if found else {}
    if before != composites:
        for entity, proto in db.execute("SELECT id, proto FROM entity").fetchall():
            of = Entity.FromString(proto)
            put_entries(db, entity, indexes.entries(of, before), indexes.entries(of, composites))
    db.execute("INSERT OR REPLACE INTO state VALUES ('index.yaml', ?)", (wanted,))
