"""The SQLite file: entities, index entries, snapshots for readers, one writer.

A commit has reached the disk (WAL, synchronous) before it is answered; commits that wait at the same moment
share one SQLite transaction and its sync. Nothing is kept in memory that another process, or the next
one after a kill, would miss.
"""

import sqlite3
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.appengine.local.refusals import Refused

from . import indexes, table
from .indexes import Composites
from .metadata import Known
from .table import Stored

FORMAT = 0x57420001  # in the file's header, as SQLite's application_id; the last digits are the version
BUSY_SECONDS = 30
CACHE_KIB = 2000

type Job = tuple[Callable[[sqlite3.Connection], Any], Future[Any]]


class Store:
    """Opened on a file, or on none: then it forgets."""

    composites: Composites

    def __init__(self, path: Path | None, index_yaml: Path | None = None, ttl: str | None = None) -> None:
        """`ttl` names the property of a time to be deleted. What is None stays as it is in the file.

        Raises sqlite3.Error; ValueError: index.yaml, or the file, is of another form.
        """
        self._folder = None if path else tempfile.TemporaryDirectory(prefix="datastore-")
        self._path = path or Path(self._folder.name if self._folder else "") / "memory"
        self._synchronous = "FULL" if path else "OFF"
        self._index_yaml = index_yaml
        self.known: Known = set()
        self._opened: list[sqlite3.Connection] = []
        self._idle: list[sqlite3.Connection] = []  # of these, those that no reader has
        self._jobs: deque[Job] = deque()
        self._writing = threading.Lock()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _claim(self._path)
        self._writer = self._connect()
        try:
            self._prepare(ttl)
        except BaseException:
            self._close_files()
            raise

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._opened.append(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return db

    def _prepare(self, ttl: str | None) -> None:
        db = self._writer
        db.execute("BEGIN IMMEDIATE")
        for statement in table.SCHEMA.split(";"):
            db.execute(statement)
        before = str(_kept(db, "ttl") or "")
        self._ttl = before if ttl is None else ttl
        if self._ttl != before:
            self._note_expiry(db)
        self.composites = composites_of(db)
        if self._index_yaml:
            self._build_indexes(db, indexes.parse(self._index_yaml.read_text()))
        db.execute("COMMIT")

    def reread_indexes(self) -> bool:
        """Whether index.yaml had changed: now the entries are as it wants. Raises ValueError, OSError."""
        composites = indexes.parse(self._index_yaml.read_text()) if self._index_yaml else self.composites
        if composites == self.composites:
            return False
        self.write(lambda db: self._build_indexes(db, composites))
        return True

    def _build_indexes(self, db: sqlite3.Connection, composites: Composites) -> None:
        before = composites_of(db)
        for row in db.execute(f"{table.SELECT} 1") if before != composites else ():
            stored = Stored(*row)
            try:
                table.put_entries(db, stored.id, stored.entries(before), stored.entries(composites))
            except Refused as refused:
                raise ValueError(f"index.yaml: {table.shown(stored.entity().key)}: {refused}") from refused
        _keep(db, "index.yaml", indexes.as_yaml(composites))
        self.composites = composites_of(db)

    def _note_expiry(self, db: sqlite3.Connection) -> None:
        for row in db.execute(f"{table.SELECT} 1"):
            stored = Stored(*row)
            db.execute(
                "UPDATE entity SET expires = ? WHERE id = ?", (self.expires(stored.entity()), stored.id)
            )
        _keep(db, "ttl", self._ttl)

    def expires(self, entity: Any) -> int | None:
        """When it is to be deleted, in microseconds since 1970."""
        if self._ttl not in entity.properties:
            return None
        value = entity.properties[self._ttl]
        return value.timestamp_value.ToMicroseconds() if value.HasField("timestamp_value") else None

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
        try:
            db = self._idle.pop()
        except IndexError:
            db = self._connect()
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
        self._jobs.append((job, future))
        with self._writing:  # whoever comes in commits for all who wait
            if not future.done():
                self._commit([self._jobs.popleft() for _ in range(len(self._jobs))])
        return future.result()

    def reset(self) -> None:
        """Forget all entities."""
        self.write(lambda db: [db.execute("DELETE FROM entity"), db.execute("DELETE FROM entry")])
        self.known.clear()

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        with self._writing:
            self._close_files()

    def _close_files(self) -> None:
        for db in self._opened:
            db.close()
        if self._folder:
            self._folder.cleanup()

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
            self.known.clear()
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
            self.known.clear()
            future.set_exception(error)
        self._writer.execute("RELEASE job")


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def tick(db: sqlite3.Connection) -> int:
    """The version of a commit: its time in microseconds, later than every one before."""
    version = max(now(), current_version(db) + 1)
    _keep(db, "version", version)
    return version


def current_version(db: sqlite3.Connection) -> int:
    """Of the last commit in this snapshot."""
    return _kept(db, "version") or 1


def composites_of(db: sqlite3.Connection) -> Composites:
    """The composite indexes for which this snapshot has entries."""
    return indexes.parse(_kept(db, "index.yaml") or "")


def _keep(db: sqlite3.Connection, name: str, value: str | int) -> None:
    db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))


def _kept(db: sqlite3.Connection, name: str) -> Any:
    found = db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
    return found and found[0]


def _claim(path: Path) -> None:
    """Mark a new file as ours. Raises ValueError, and changes nothing: it is something else."""
    with path.open("ab+") as file:
        file.seek(0)
        header = file.read(72)
    if not header:
        db = sqlite3.connect(path, timeout=BUSY_SECONDS)
        db.execute(f"PRAGMA application_id = {FORMAT}")
        db.close()
    elif header[68:] != FORMAT.to_bytes(4, "big"):
        raise ValueError("it is not a file of this version of the Datastore: name another, or delete it.")
