"""An unmodified NDB client of an empty Datastore: ours, then each of Google's emulators."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from google.cloud import ndb

from tests import datastores
from tests.functional.ndb.stores import INDEXES, new_client, uncached


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[[str], datastores.Datastore]]:
    """Starts a Datastore by name where this test process has not yet."""
    with ExitStack() as running:
        yield cache(lambda name: running.enter_context(datastores.running(name, INDEXES)))


@pytest.fixture(params=datastores.ALL)
def store(
    request: pytest.FixtureRequest, start: Callable[[str], datastores.Datastore]
) -> datastores.Datastore:
    """An empty Datastore."""
    reason = datastores.missing(request.param)
    if reason and "CI" not in os.environ:
        pytest.skip(reason)
    datastore = start(request.param)
    datastore.reset()
    return datastore


@pytest.fixture
def client(store: datastores.Datastore) -> Iterator[ndb.Client]:
    """Of the default database and namespace. `Query.count` too asks the environment for an emulator."""
    with datastores.as_emulator_host(store.host):
        client = new_client(store.host)
        yield client
        client.stub.close()


@pytest.fixture
def context(client: ndb.Client) -> Iterator[ndb.Context]:
    """Open, and without NDB's own cache: every read asks the Datastore."""
    with uncached(client) as context:
        yield context


@pytest.fixture(autouse=True)
def _kinds(request: pytest.FixtureRequest) -> Iterator[None]:
    """A kind is the class of the test's module or its own, whatever others call theirs: NDB keeps one map."""
    before = ndb.Model._kind_map.copy()
    for value in vars(request.module).values():
        if isinstance(value, ndb.MetaModel):
            value._update_kind_map()
    yield
    ndb.Model._kind_map.clear()
    ndb.Model._kind_map.update(before)
