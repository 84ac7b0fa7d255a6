"""Runs a program against one Datastore and says what was observed, as plain data."""

from collections.abc import Iterator
from typing import Any

import grpc
from google.api_core import exceptions
from google.cloud import ndb

from tests.datastores import as_emulator_host
from tests.functional.datastore.messages import PROJECT
from tests.functional.datastore.steps import (
    Aggregate,
    Allocate,
    Back,
    Commit,
    Count,
    Create,
    Delete,
    Fetch,
    Get,
    Interleaved,
    Outside,
    Pages,
    Program,
    Put,
    Step,
    Transaction,
)
from tests.functional.datastore.through_api import Api, connect
from tests.functional.datastore.through_ndb import Ndb
from tests.functional.datastore.walk import has_or, queries, wheres

type Observation = Any


def asks_several(step: Step) -> bool:
    """Whether NDB makes several queries of it."""
    through_ndb = isinstance(step, Count) or getattr(step, "through", "") == "ndb"
    return through_ndb and any(
        has_or(query.where) or any(where.operator in ("in", "!=") for where in wheres(query.where))
        for query in queries(step)
    )


class RolledBack(Exception):
    """Raised in a transaction that is not to be committed."""


class Runner:
    """The clients of one Datastore."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.connection = connect(host)
        self.ndb = Ndb()
        self.refusals: list[str] = []  # of queries that need an index: the messages
        with as_emulator_host(host):
            self.client = ndb.Client(project=PROJECT)

    def run(self, program: Program) -> list[Observation]:
        """One observation for each step."""
        # NDB counts in another way where it knows that it talks to an emulator.
        with as_emulator_host(self.host), self.client.context(cache_policy=False):
            return [self.observe(step, Api(self.connection)) for step in program]

    def observe(self, step: Step, api: Api) -> Observation:
        """What it answered, or the status it failed with."""
        seen = self.tried(step, api)
        # Which of NDB's several queries fails first is chance, and it tells the others' error in its own way.
        failed = isinstance(seen, str) and seen.startswith("failed: ")
        return "failed" if failed and asks_several(step) else seen

    def tried(self, step: Step, api: Api) -> Observation:
        try:
            return self.do(step, api)
        except exceptions.RetryError as error:
            return self.failure(error.cause)
        except ndb.exceptions.NestedRetryException as error:  # keeps no more than the message
            self.refusals += [str(error)] if "- kind:" in str(error) else []
            return "failed: NestedRetryException"
        except (exceptions.GoogleAPICallError, grpc.RpcError) as error:
            return self.failure(error)
        except (ndb.exceptions.Error, TypeError, ValueError, KeyError) as error:  # in NDB itself
            return f"failed: {type(error).__name__}"

    def do(self, step: Step, api: Api) -> Observation:  # noqa: C901, PLR0911, PLR0912  one line for each kind of step
        through: Any = self.ndb if getattr(step, "through", "") == "ndb" else api
        match step:
            case Put():
                return through.put(step.entities)
            case Delete():
                return through.delete(step.keys)
            case Get():
                return through.get(step.keys)
            case Fetch():
                return through.fetch(step.query)
            case Count():
                return self.ndb.count(step.query)
            case Pages():
                return list(self.pages(step, through, api))
            case Back():
                return api.back(step.query, step.size)
            case Aggregate():
                return api.aggregate(step)
            case Commit():
                return api.commit(step)
            case Create():
                return through.create(step)
            case Allocate():
                return through.allocate(step)
            case Outside():
                return self.observe(step.step, Api(self.connection))
            case Transaction():
                return self.transaction(step, api)
            case Interleaved():
                return self.interleaved(step)

    def pages(self, step: Pages, through: Any, api: Api) -> Iterator[Observation]:
        cursor = None
        for number, size in enumerate(step.sizes):
            page, cursor = through.page(step.query, size, cursor)
            yield page
            if cursor is None:
                return
            if number == 0:
                yield [self.observe(change, api) for change in step.between]

    def transaction(self, step: Transaction, api: Api) -> Observation:
        observed: list[Observation] = []

        def steps() -> None:
            observed.extend(self.observe(part, api) for part in step.steps)
            if step.rolled_back:
                raise RolledBack

        try:
            if step.through == "ndb":
                self.ndb.transaction(steps, read_only=step.read_only)
            else:
                self.through_api(steps, api, read_only=step.read_only)
        except RolledBack:
            observed.append("rolled back")
        except (exceptions.GoogleAPICallError, grpc.RpcError) as error:
            observed.append(self.failure(error))
        return observed

    def through_api(self, steps: Any, api: Api, *, read_only: bool) -> None:
        api.begin(read_only=read_only)
        try:
            steps()
        except RolledBack:
            api.roll_back()
            raise
        api.commit_transaction()

    def interleaved(self, step: Interleaved) -> list[Observation]:
        runs = [self.one_of_two(part) for part in (step.first, step.second)]
        observed = [(turn, next(runs[turn], "done")) for turn in step.turns]
        return observed + [(turn, rest) for turn in (0, 1) for rest in runs[turn]]

    def one_of_two(self, steps: tuple[Step, ...]) -> Iterator[Observation]:
        api = Api(self.connection)
        api.begin()
        for step in steps:
            yield self.observe(step, api)
        try:
            yield api.commit_transaction()
        except (exceptions.GoogleAPICallError, grpc.RpcError) as error:
            yield self.failure(error)

    def failure(self, error: Any) -> str:
        """Its status code."""
        if isinstance(error, exceptions.FailedPrecondition):
            self.refusals.append(error.message)
        if error == "google.api_core.exceptions.Unknown":  # NDB's text for it
            return "failed: UNKNOWN"
        code: Any = getattr(error, "grpc_status_code", None) or (
            error.code() if hasattr(error, "code") else None
        )
        return f"failed: {code.name if hasattr(code, 'name') else type(error).__name__}"
