"""The tasks on disk: what is true of them after a restart."""

import time
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from .group_commit import GroupCommit

# The columns of `tasks` and `queues` are the fields of Task and QueueRow, in this order.
SCHEMA = """
CREATE TABLE IF NOT EXISTS queues (
    name TEXT PRIMARY KEY, state TEXT NOT NULL, tokens REAL NOT NULL, refilled REAL NOT NULL, purged REAL
);
CREATE TABLE IF NOT EXISTS tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, id TEXT NOT NULL, named INTEGER NOT NULL,
    due REAL NOT NULL, created REAL NOT NULL, leases INTEGER NOT NULL DEFAULT 0,
    dispatches INTEGER NOT NULL DEFAULT 0, responses INTEGER NOT NULL DEFAULT 0,
    first_dispatch REAL, last_dispatch REAL, last_scheduled REAL,
    last_response REAL, last_status INTEGER, last_code INTEGER, last_error TEXT,
    message BLOB NOT NULL, UNIQUE (queue, id)
);
CREATE INDEX IF NOT EXISTS tasks_due ON tasks (queue, leases, due);
CREATE TABLE IF NOT EXISTS tombstones (
    queue TEXT NOT NULL, id TEXT NOT NULL, deleted REAL NOT NULL, PRIMARY KEY (queue, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tombstones_deleted ON tombstones (deleted);
CREATE TRIGGER IF NOT EXISTS bury AFTER DELETE ON tasks WHEN old.named BEGIN
    INSERT OR REPLACE INTO tombstones VALUES (old.queue, old.id, (julianday('now') - 2440587.5) * 86400.0);
END;
UPDATE tasks SET leases = 0 WHERE leases > 0;
"""


class Task(NamedTuple):
    """A task. Times are Unix seconds; `message` is the Task of the API as it was created, serialised."""

    seq: int
    queue: str
    id: str
    named: bool
    due: float
    created: float
    leases: int
    dispatches: int
    responses: int
    first_dispatch: float | None
    last_dispatch: float | None
    last_scheduled: float | None
    last_response: float | None
    last_status: int | None
    last_code: int | None
    last_error: str | None
    message: bytes


class QueueRow(NamedTuple):
    """What of a queue survives a restart. `state` is RUNNING, PAUSED or DISABLED."""

    name: str
    state: str
    tokens: float
    refilled: float
    purged: float | None


class Counts(NamedTuple):
    """How many tasks a queue holds, how many of them wait though they are due, how many are being sent."""

    tasks: int = 0
    due: int = 0
    in_flight: int = 0


class Store:
    """Queues, tasks, and the names of deleted tasks, which stay taken for `name_retention` seconds.

    Each call is one atomic operation, on disk when it returns. Opening clears the leases: a task that
    was being sent when the server was killed is due again.
    """

    def __init__(self, path: Path, *, name_retention: float) -> None:
        """Open or make the file; raises sqlite3.OperationalError when another process has it open."""
        self._name_retention = name_retention
        self._commit = GroupCommit(path, SCHEMA)
        self.close = self._commit.close

    async def open_queues(self, sizes: dict[str, int]) -> list[QueueRow]:
        """Record the queues of queue.yaml (name: bucket size) and disable the others; return them all.

        A new queue starts with a full bucket; one that was disabled runs again.
        """
        await self._execute("DELETE FROM tombstones WHERE deleted < ?", time.time() - self._name_retention)
        return await self._commit.run(_open_queues, sizes)

    async def add(
        self, queue: str, task_id: str, *, named: bool, due: float, created: float, message: bytes
    ) -> Task | None:
        """Store a new task. None when its name is in use, or was within the retention of names."""
        return await self._commit.run(
            _add, created - self._name_retention, (queue, task_id, named, due, created, message)
        )

    async def get(self, queue: str, task_id: str) -> Task | None:
        """One task, or None."""
        return next(iter(await self._select("WHERE queue = ? AND id = ?", queue, task_id)), None)

    async def page(self, queue: str, after: str, limit: int) -> list[Task]:
        """Tasks in the order of their ids, from the first one behind `after`."""
        return await self._select("WHERE queue = ? AND id > ? ORDER BY id LIMIT ?", queue, after, limit)

    async def next_tasks(self, queue: str, limit: int) -> list[Task]:
        """Tasks being sent, then those that are next."""
        return await self._select("WHERE queue = ? ORDER BY leases DESC, due LIMIT ?", queue, limit)

    async def counts(self) -> dict[str, Counts]:
        """Counts of every queue that holds tasks."""
        return await self._commit.run(_counts, time.time())

    async def delete(self, queue: str, task_id: str) -> bool:
        """Delete a task, also one that is being sent. False when there is none."""
        return bool(await self._execute("DELETE FROM tasks WHERE queue = ? AND id = ?", queue, task_id))

    async def purge(self, queue: str, now: float) -> None:
        """Delete all tasks of a queue."""
        await self._commit.run(_purge, queue, now)

    async def set_state(self, queue: str, state: str) -> None:
        """Record RUNNING or PAUSED."""
        await self._execute("UPDATE queues SET state = ? WHERE name = ?", state, queue)

    async def lease_due(
        self, queue: str, now: float, limit: int, tokens: float
    ) -> tuple[list[Task], float | None]:
        """Take up to `limit` due tasks for sending, and record the bucket's tokens less one for each.

        Also tells when the next task that is not leased is due.
        """
        return await self._commit.run(_lease_due, queue, now, limit, tokens)

    async def lease(self, queue: str, task_id: str, now: float) -> Task | None:
        """Take one task for sending whatever its state; None when there is none."""
        tasks = await self._commit.run(_lease, now, "queue = ? AND id = ?", queue, task_id)
        return next(iter(tasks), None)

    async def finish(self, seq: int) -> None:
        """Delete a task that succeeded or that is given up."""
        await self._execute("DELETE FROM tasks WHERE seq = ?", seq)

    async def put_back(
        self, seq: int, *, due: float, ended: float, status: int | None, code: int, error: str
    ) -> None:
        """End a failed attempt: the lease is over and the task is due again at `due`.

        `status` is that of the HTTP response, None when there was none; `code` is a google.rpc.Code.
        """
        sql = """UPDATE tasks SET leases = leases - 1, due = ?, responses = responses + ?, last_response = ?,
                 last_status = ?, last_code = ?, last_error = ? WHERE seq = ?"""
        await self._execute(sql, due, status is not None, ended, status, code, error, seq)

    async def _execute(self, sql: str, *values: Any) -> int:
        return await self._commit.run(_execute, sql, *values)

    async def _select(self, rest: str, *values: Any) -> list[Task]:
        return await self._commit.run(_select, rest, *values)


# What runs in the thread of the database, inside a transaction.


def _execute(db: Connection, sql: str, *values: Any) -> int:
    return db.execute(sql, values).rowcount


def _select(db: Connection, rest: str, *values: Any) -> list[Task]:
    return [Task(*row) for row in db.execute(f"SELECT * FROM tasks {rest}", values)]  # noqa: S608  `rest` is ours


def _open_queues(db: Connection, sizes: dict[str, int]) -> list[QueueRow]:
    now = time.time()
    known = [name for (name,) in db.execute("SELECT name FROM queues")]
    gone = [(name,) for name in known if name not in sizes]
    db.executemany("UPDATE queues SET state = 'DISABLED' WHERE name = ?", gone)
    db.executemany(
        """INSERT INTO queues VALUES (?, 'RUNNING', ?, ?, NULL) ON CONFLICT DO UPDATE
           SET state = CASE state WHEN 'DISABLED' THEN 'RUNNING' ELSE state END""",
        [(name, size, now) for name, size in sizes.items()],
    )
    return [QueueRow(*row) for row in db.execute("SELECT * FROM queues ORDER BY name")]


def _add(db: Connection, since: float, row: tuple[Any, ...]) -> Task | None:
    buried = "SELECT 1 FROM tombstones WHERE queue = ? AND id = ? AND deleted > ?"
    if db.execute(buried, [*row[:2], since]).fetchone():
        return None
    sql = """INSERT INTO tasks (queue, id, named, due, created, message) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO NOTHING RETURNING *"""
    return next((Task(*columns) for columns in db.execute(sql, row).fetchall()), None)


def _lease_due(
    db: Connection, queue: str, now: float, limit: int, tokens: float
) -> tuple[list[Task], float | None]:
    tasks = _lease(db, now, "queue = ? AND leases = 0 AND due <= ? ORDER BY due LIMIT ?", queue, now, limit)
    if tasks:
        left = tokens - len(tasks)
        _execute(db, "UPDATE queues SET tokens = ?, refilled = ? WHERE name = ?", left, now, queue)
    coming = db.execute("SELECT min(due) FROM tasks WHERE queue = ? AND leases = 0", [queue])
    return tasks, coming.fetchone()[0]


def _lease(db: Connection, now: float, which: str, *values: Any) -> list[Task]:
    sql = f"""UPDATE tasks SET leases = leases + 1, dispatches = dispatches + 1, last_scheduled = due,
              first_dispatch = coalesce(first_dispatch, ?), last_dispatch = ?, last_response = NULL
              WHERE seq IN (SELECT seq FROM tasks WHERE {which}) RETURNING *"""  # noqa: S608  `which` is ours
    return sorted((Task(*row) for row in db.execute(sql, [now, now, *values])), key=lambda task: task.due)


def _purge(db: Connection, queue: str, now: float) -> None:
    _execute(db, "DELETE FROM tasks WHERE queue = ?", queue)
    _execute(db, "UPDATE queues SET purged = ? WHERE name = ?", now, queue)


def _counts(db: Connection, now: float) -> dict[str, Counts]:
    # Reads the index tasks_due alone.
    sql = "SELECT queue, count(*), sum(leases = 0 AND due <= ?), sum(leases > 0) FROM tasks GROUP BY queue"
    return {name: Counts(*counts) for name, *counts in db.execute(sql, [now])}
