"""On which Datastores a test runs: on ours and on both of Google's emulators, unless it says less here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.cloud import ndb

from tests.datastores import DATASTORE_EMULATOR, EMBEDDED, FIRESTORE_EMULATOR, as_emulator_host

INDEXES = Path(__file__).with_name("index.yaml")
PROJECT = "p"


def ours_and(emulator: str) -> pytest.MarkDecorator:
    """Runs a test on ours and on one of Google's emulators; the other cannot."""
    return pytest.mark.parametrize("store", [EMBEDDED, emulator], indirect=True)


# Google's Datastore emulator has no !=, no NOT_IN and no IN of its own, and one inequality a query.
todays_queries = ours_and(FIRESTORE_EMULATOR)
# Google's Firestore emulator needs no index for any query,
indexes_enforced = ours_and(DATASTORE_EMULATOR)
# and refuses to read with eventual consistency.
eventual_reads = ours_and(DATASTORE_EMULATOR)
# Google's Datastore emulator gives allocated ids to new entities as well.
allocation_lasts = ours_and(FIRESTORE_EMULATOR)
# Google's Datastore emulator takes an empty list for none.
empty_is_not_none = ours_and(FIRESTORE_EMULATOR)
# Google's Firestore emulator answers an inequality with an entity once for each of its values that match.
found_once = ours_and(DATASTORE_EMULATOR)
# Google's Firestore emulator indexes what is within an entity value that is to be left out of indexes.
unindexed_whole = ours_and(DATASTORE_EMULATOR)
# Google's Firestore emulator does not find an entity by what is within the entities of an array.
searched_in_arrays = ours_and(DATASTORE_EMULATOR)
# Google's Datastore emulator never says that there are no more results.
counts_end = ours_and(FIRESTORE_EMULATOR)
# Google's Firestore emulator refuses to end a read-only transaction as NDB does, with an empty commit.
read_only_ends = ours_and(DATASTORE_EMULATOR)
# Google's Firestore emulator locks what a transaction read: another's write waits for its end.
optimistic = ours_and(DATASTORE_EMULATOR)
# Google's Datastore emulator knows one database only,
named_databases = ours_and(FIRESTORE_EMULATOR)
# Google's Firestore emulator no kind that lists kinds, namespaces or properties.
metadata_queries = ours_and(DATASTORE_EMULATOR)


def new_client(host: str, **options: Any) -> ndb.Client:
    """An unmodified NDB client of the Datastore at `host`. It keeps the address."""
    with as_emulator_host(host):
        return ndb.Client(project=PROJECT, **options)


@contextmanager
def uncached(client: ndb.Client, **options: Any) -> Iterator[ndb.Context]:
    """A context that remembers nothing: every read asks the Datastore."""
    with client.context(cache_policy=False, **options) as context:
        yield context
