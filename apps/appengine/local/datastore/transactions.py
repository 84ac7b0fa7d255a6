"""Optimistic transactions: a snapshot to read, and at the commit every read is made again.

When one of them would now be answered otherwise, the commit aborts and the client tries again.
https://cloud.google.com/datastore/docs/concepts/transactions
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any

import grpc

from apps.appengine.local.refusals import Refused, invalid

from .store import Store

IDLE_SECONDS = 60
MAX_SECONDS = 270

type Read[T] = Callable[[sqlite3.Connection], tuple[T, Any]]  # the answer, and what it depends on


@dataclass
class Transaction:
    """One under way."""

    snapshot: sqlite3.Connection
    read_only: bool
    ended: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    reads: list[tuple[Read[Any], Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)

    def expired(self) -> bool:
        now = time.monotonic()
        return now > self.used + IDLE_SECONDS or now > self.started + MAX_SECONDS


class Transactions:
    """Those under way, by the identifier that the client holds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._open: dict[bytes, Transaction] = {}

    def begin(self, options: Any) -> bytes:
        """Its identifier. Raises Refused."""
        if options.read_only.HasField("read_time"):
            raise invalid("read_time is not kept by the embedded Datastore: read what is current.")
        self._end_expired()
        identifier = token_bytes(16)
        begun = Transaction(self._store.snapshot(), options.HasField("read_only"))
        with self._lock:
            self._open[identifier] = begun
        return identifier

    def read[T](self, identifier: bytes, read: Read[T]) -> T:
        """Read as of the beginning of the transaction, and remember it for the commit. Raises Refused."""
        transaction = self._find(identifier)
        with transaction.lock:
            if transaction.ended:
                raise _gone()
            answer, depends = read(transaction.snapshot)
            if not transaction.read_only:
                transaction.reads.append((read, depends))
            transaction.used = time.monotonic()
        return answer

    @contextmanager
    def ending(self, identifier: bytes, *, failed: bool = False) -> Iterator[Transaction]:
        """The transaction, over when this is left. Raises Refused.

        One whose commit has failed can still be rolled back, as clients do: that is `failed`.
        """
        self._end_expired()
        with self._lock:
            transaction = self._open.pop(identifier, None)
        if not transaction or (transaction.ended and not failed):
            raise _gone()
        with transaction.lock:
            try:
                yield transaction
            except BaseException:
                self._open[identifier] = transaction
                raise
            finally:
                self._close(transaction)

    def forget(self) -> None:
        """End all, as a restart does."""
        self._end(lambda _: True)

    def _find(self, identifier: bytes) -> Transaction:
        self._end_expired()
        if found := self._open.get(identifier):
            return found
        raise _gone()

    def _end_expired(self) -> None:
        self._end(Transaction.expired)

    def _end(self, over: Callable[[Transaction], bool]) -> None:
        with self._lock:
            ended = [
                self._open.pop(identifier) for identifier, each in list(self._open.items()) if over(each)
            ]
        for transaction in ended:
            with transaction.lock:
                self._close(transaction)

    def _close(self, transaction: Transaction) -> None:
        if not transaction.ended:
            transaction.ended = True
            self._store.release(transaction.snapshot)


def _gone() -> Refused:
    return invalid("The referenced transaction has expired or is no longer valid.")


def check(db: sqlite3.Connection, transaction: Transaction) -> None:
    """Raises Refused: what the transaction has read has changed since."""
    if any(read(db)[1] != depends for read, depends in transaction.reads):
        raise Refused(
            grpc.StatusCode.ABORTED, "Aborted due to cross-transaction contention. Please try again."
        )
