"""One thread owns the database; operations that wait at the same moment share a transaction and its sync."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any


class GroupCommit:
    """Runs operations one after the other, and answers each when its transaction is on disk.

    A failing operation (a full disk) fails everything in its transaction.
    """

    def __init__(self, path: Path, schema: str) -> None:
        """Open or make the file; raises sqlite3.OperationalError when another process has it open."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            self._prepare(schema)
        except sqlite3.Error:
            self._db.close()
            raise
        self._operations: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def _prepare(self, schema: str) -> None:
        # One process owns the file: a second server, which would send every task again, is refused.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(schema)

    async def run[**P, T](
        self, operation: Callable[[sqlite3.Connection, *tuple[Any, ...]], T], *arguments: Any
    ) -> T:
        """The operation's result, once what it wrote is durable."""
        future: Future[T] = Future()
        self._operations.put((partial(operation, self._db, *arguments), future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._operations.put(None)
        self._thread.join()
        self._db.close()

    def _work(self) -> None:
        closing = False
        while not closing:
            waiting = [self._operations.get()]
            while not self._operations.empty():
                waiting.append(self._operations.get())
            closing = None in waiting
            # A caller that was cancelled is gone: nobody would learn the result.
            self._commit([item for item in waiting if item and item[1].set_running_or_notify_cancel()])

    def _commit(self, batch: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
        try:
            self._db.execute("BEGIN")
            results = [operation() for operation, _ in batch]
            self._db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  whoever waits for the batch gets it
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
