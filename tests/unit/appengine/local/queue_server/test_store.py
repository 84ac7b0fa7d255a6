import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from apps.appengine.local.queue_server.group_commit import GroupCommit
from apps.appengine.local.queue_server.store import SCHEMA, Store, Task


def with_store(
    path: Path, use: Callable[[Store], Awaitable[object]], *, name_retention: float = 3600
) -> None:
    store = Store(path / "tasks.sqlite3", name_retention=name_retention)
    try:
        asyncio.run(use(store))  # type: ignore[arg-type]  # always a coroutine here
    finally:
        store.close()


async def add(store: Store, task_id: str, *, due: float = 1.0, queue: str = "mail") -> Task | None:
    return await store.add(queue, task_id, named=True, due=due, created=time.time(), message=b"")


def test_a_name_is_free_again_after_its_retention(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        assert await add(store, "a")
        assert await store.delete("mail", "a")
        assert await add(store, "a") is None
        assert await add(store, "a", queue="other"), "names belong to their queue"
        await asyncio.sleep(0.15)
        assert await add(store, "a")

    with_store(tmp_path, use, name_retention=0.1)


def test_due_tasks_are_leased_once_and_earliest_first(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        for task_id, due in [("late", 30.0), ("second", 20.0), ("first", 10.0), ("future", 99.0)]:
            await add(store, task_id, due=due)
        tasks, _ = await store.lease_due("mail", 50.0, 2, 5.0)
        assert [task.id for task in tasks] == ["first", "second"]
        tasks, coming = await store.lease_due("mail", 50.0, 9, 5.0)
        assert ([task.id for task in tasks], coming) == (["late"], 99.0)
        assert await store.lease_due("mail", 50.0, 9, 5.0) == ([], 99.0)

    with_store(tmp_path, use)


def test_leases_are_cleared_and_tokens_kept_when_the_file_is_opened_again(tmp_path: Path) -> None:
    async def lease(store: Store) -> None:
        await store.open_queues({"mail": 5})
        await add(store, "a")
        await store.lease_due("mail", 50.0, 9, 3.0)

    async def look(store: Store) -> None:
        (queue,) = await store.open_queues({"mail": 5})
        assert (queue.tokens, queue.refilled) == (2.0, 50.0)
        (task,), _ = await store.lease_due("mail", 60.0, 9, 2.0)
        assert (task.id, task.dispatches, task.first_dispatch) == ("a", 2, 50.0)

    with_store(tmp_path, lease)
    with_store(tmp_path, look)


def test_due_tasks_are_found_by_index_without_a_sort() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        for sql, index in [
            (
                "SELECT seq FROM tasks WHERE queue = 'q' AND leases = 0 AND due <= 1 ORDER BY due LIMIT 9",
                "tasks_due",
            ),
            ("SELECT min(due) FROM tasks WHERE queue = 'q' AND leases = 0", "tasks_due"),
            (
                "SELECT * FROM tasks WHERE queue = 'q' AND id > '' ORDER BY id LIMIT 9",
                "sqlite_autoindex_tasks_1",
            ),
        ]:
            plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}"))
            assert plan.startswith("SEARCH tasks USING"), plan
            assert index in plan
            assert "TEMP B-TREE" not in plan


def test_a_second_process_is_refused_the_file(tmp_path: Path) -> None:
    async def use(_: Store) -> None:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            Store(tmp_path / "tasks.sqlite3", name_retention=1)

    with_store(tmp_path, use)


def test_operations_that_wait_together_share_one_commit(tmp_path: Path) -> None:
    commit = GroupCommit(tmp_path / "x.sqlite3", "CREATE TABLE t (a);")
    statements: list[str] = []

    async def use() -> None:
        await commit.run(lambda db: db.set_trace_callback(statements.append))
        slow = asyncio.create_task(commit.run(lambda _: time.sleep(0.05)))
        await asyncio.sleep(0.01)
        inserts = (
            commit.run(lambda db, number: db.execute("INSERT INTO t VALUES (?)", [number]), n)
            for n in range(20)
        )
        await asyncio.gather(slow, *inserts)

    try:
        asyncio.run(use())
    finally:
        commit.close()
    inserts = [index for index, sql in enumerate(statements) if sql.startswith("INSERT")]
    assert len(inserts) == 20
    assert "COMMIT" not in statements[inserts[0] : inserts[-1]]
    assert statements[inserts[-1] + 1] == "COMMIT"


def test_an_operation_that_fails_fails_its_transaction_and_no_later_one(tmp_path: Path) -> None:
    commit = GroupCommit(tmp_path / "x.sqlite3", "CREATE TABLE t (a);")

    def count(db: sqlite3.Connection) -> int:
        (number,) = db.execute("SELECT count(*) FROM t").fetchone()
        return int(number)

    async def use() -> None:
        slow = asyncio.create_task(commit.run(lambda _: time.sleep(0.05)))
        await asyncio.sleep(0.01)
        good = commit.run(lambda db: db.execute("INSERT INTO t VALUES (1)"))
        bad = commit.run(lambda db: db.execute("INSERT INTO missing VALUES (1)"))
        results = await asyncio.gather(slow, good, bad, return_exceptions=True)
        assert [type(result) for result in results[1:]] == [sqlite3.OperationalError] * 2
        assert await commit.run(count) == 0, "it was answered as failed, so it must not be there"

    try:
        asyncio.run(use())
    finally:
        commit.close()


def test_a_caller_that_is_cancelled_stops_nobody_else(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        gone = asyncio.create_task(add(store, "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await add(store, "here")

    with_store(tmp_path, use)
