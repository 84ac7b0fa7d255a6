"""An embedded Datastore of the test's own, in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.appengine.local.datastore.served import Served

type Start = Callable[..., Served]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts one: `start(file, indexes, ttl)`. With nothing of it, it forgets and has no composite index."""
    with ExitStack() as stack:

        def started(file: Path | None = None, indexes: Path | None = None, ttl: str | None = None) -> Served:
            served = Served.start(file, indexes, ttl)
            stack.callback(served.stop)
            return served

        yield started


@pytest.fixture
def served(start: Start) -> Served:
    """In memory, without composite indexes."""
    return start()
