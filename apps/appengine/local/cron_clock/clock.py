"""Asks the app for each job of cron.yaml when it is due, and remembers when it last did."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from apps.appengine import cron_yaml

from .caller import Caller

RUN_SECONDS = 600  # App Engine's deadline with automatic scaling
LONGEST_SLEEP = 20.0  # seconds; a laptop that slept notices within these


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class LastRun:
    """How a job's last run went: `outcome` is the HTTP status or what went wrong."""

    started: str
    finished: str
    outcome: str
    retries: int = 0


@dataclass
class Entry:
    """A job with its last run. A job never runs twice at once."""

    job: cron_yaml.Job
    next_run: datetime
    last: LastRun | None = None
    running: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def key(self) -> str:
        return f"{self.job.url} {self.job.schedule.text}"


class Clock:
    """Runs the jobs of cron.yaml. `now` is for tests that cannot wait for a full minute."""

    def __init__(
        self, jobs: list[cron_yaml.Job], caller: Caller, state: Path, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._caller = caller
        self._state = state
        self._now = now
        self.entries = [Entry(job, job.schedule.next_after(now())) for job in jobs]
        self._remember()

    def _remember(self) -> None:
        """Take up the last runs from disk: a job that became due since then is due now, once."""
        known = json.loads(self._state.read_text()) if self._state.exists() else {}
        for entry in self.entries:
            if run := known.get(entry.key):
                entry.last = LastRun(**run)
                entry.next_run = entry.job.schedule.next_after(datetime.fromisoformat(entry.last.finished))

    def _save(self) -> None:
        """Replaced in one step, so that a kill leaves the old file or the new one."""
        known = {entry.key: asdict(entry.last) for entry in self.entries if entry.last}
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps(known, indent=1))
        draft.replace(self._state)

    async def keep_time(self) -> None:
        """Run every job when it is due, until cancelled."""
        async with asyncio.TaskGroup() as jobs:
            for entry in self.entries:
                jobs.create_task(self._keep_time(entry))

    async def _keep_time(self, entry: Entry) -> None:
        while True:
            wait = (entry.next_run - self._now()).total_seconds()
            if wait > 0:
                await asyncio.sleep(min(wait, LONGEST_SLEEP))
            else:
                await self.run(entry)

    async def run(self, entry: Entry) -> LastRun:
        """Run a job now, with the retries it asks for. The next run is counted from this one's end."""
        async with entry.running:
            started, retries = self._now(), 0
            outcome = await self._ask(entry.job)
            while outcome[0] != "2" and self._retries(entry.job, retries + 1, started):
                retries += 1
                await asyncio.sleep(entry.job.retry_parameters.backoff(retries))  # type: ignore[union-attr]  # set
                outcome = await self._ask(entry.job)
            finished = self._now()
            entry.last = LastRun(started.isoformat(), finished.isoformat(), outcome, retries)
            entry.next_run = entry.job.schedule.next_after(finished)
            self._save()
            return entry.last

    def _retries(self, job: cron_yaml.Job, retry: int, started: datetime) -> bool:
        return bool(job.retry_parameters and job.retry_parameters.allows(retry, self._now() - started))

    async def _ask(self, job: cron_yaml.Job) -> str:
        """GET the job's URL: the status as text, or what went wrong. Only a 2xx is success."""
        timeout = aiohttp.ClientTimeout(total=RUN_SECONDS)
        try:
            url, headers = self._caller.request(job)
            async with (
                aiohttp.ClientSession(connector=self._caller.connector(), timeout=timeout) as session,
                session.get(url, headers=headers, allow_redirects=False) as answer,
            ):
                outcome = str(answer.status)
        except (aiohttp.ClientError, LookupError, TimeoutError) as error:
            outcome = f"no answer: {type(error).__name__}"
        if outcome[0] != "2":
            print(f"{job.url} failed: {outcome}", flush=True)  # noqa: T201  the supervisor shows it
        return outcome
