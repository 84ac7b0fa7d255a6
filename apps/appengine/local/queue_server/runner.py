"""One queue at work: leases what is due as tokens and slots allow, sends it, settles what came of it."""

import asyncio
import time

from apps.appengine.queue_yaml import Queue

from .attempt import Outcome, Sender
from .bucket import TokenBucket
from .messages import TaskMessage
from .retry import RetryPolicy
from .store import QueueRow, Store, Task

BATCH = 100  # tasks leased at once, at most
CLOCK_CHECK = 30.0  # seconds slept at most while tasks are scheduled: the wall clock may be set


class Runner:
    """Dispatches the tasks of one queue. `run` ends after `stop`, once the attempts under way have ended."""

    def __init__(self, queue: Queue, row: QueueRow, store: Store, sender: Sender) -> None:
        self.queue = queue
        self.state = row.state
        self.purged = row.purged
        self.bucket = TokenBucket(queue.rate, queue.bucket_size, row.tokens, row.refilled)
        self.in_flight = 0
        self._store = store
        self._sender = sender
        self._attempts = asyncio.TaskGroup()
        self._wake = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Work until stopped. An error of the store ends it: what is on disk runs after a restart."""
        async with self._attempts:
            while not self._stopping:
                wait = await self._dispatch_due()
                await self._sleep(wait)

    def wake(self) -> None:
        """Look again: a task came, a slot became free, the queue was resumed."""
        self._wake.set()

    def stop(self) -> None:
        """Lease nothing more."""
        self._stopping = True
        self.wake()

    async def set_state(self, state: str) -> None:
        """Pause (PAUSED) or resume (RUNNING); kept over a restart."""
        self.state = state
        await self._store.set_state(self.queue.name, state)
        self.wake()

    async def purge(self) -> None:
        """Delete all tasks. Those being sent end, and are not tried again."""
        self.purged = time.time()
        await self._store.purge(self.queue.name, self.purged)

    async def run_now(self, task_id: str) -> Task | None:
        """Dispatch a task at once, even if it is being sent, or the queue is paused or at its limits.

        None when there is no such task.
        https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/run
        """
        task = await self._store.lease(self.queue.name, task_id, time.time())
        if task:
            self._start(task, retry_from=task.last_dispatch)
        return task

    async def _dispatch_due(self) -> float | None:
        """Start what may start; the seconds until there may be more to do, None for until woken."""
        now = time.time()
        slots = self.queue.max_concurrent_requests - self.in_flight
        if self.state != "RUNNING" or not self.queue.rate or slots < 1:
            return None
        self.bucket.refill(now)
        room = min(slots, int(self.bucket.tokens), BATCH)
        if room < 1:
            return self.bucket.seconds_to_wait(now)
        tasks, coming = await self._store.lease_due(self.queue.name, now, room, self.bucket.tokens)
        self.bucket.tokens -= len(tasks)
        for task in tasks:
            self._start(task)
        return None if coming is None else min(max(0.0, coming - time.time()), CLOCK_CHECK)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _start(self, task: Task, retry_from: float | None = None) -> None:
        self.in_flight += 1
        self._attempts.create_task(self._attempt(task, retry_from))

    async def _attempt(self, task: Task, retry_from: float | None) -> None:
        message = TaskMessage.FromString(task.message)
        started = time.monotonic()
        outcome = await self._sender.send(task, message)
        took = round((time.monotonic() - started) * 1000)
        policy = RetryPolicy.of(self.queue.retry_parameters).overridden(message.retry_config)
        settled = await self._settle(task, outcome, policy, retry_from)
        if outcome.status == 503 or (outcome.status == 429 and message.HasField("http_request")):
            # An application's 429 throttles only HTTP targets: AppEngineHttpRequest's documentation.
            self.bucket.throttle(time.time())
        print(f"{task.queue} {task.id} {outcome.status or outcome.error} {took} ms{settled}", flush=True)  # noqa: T201  the log
        self.in_flight -= 1
        self.wake()

    async def _settle(
        self, task: Task, outcome: Outcome, policy: RetryPolicy, retry_from: float | None
    ) -> str:
        """Delete the task or make it due again; says which, for the log."""
        ended = time.time()
        if outcome.succeeded:
            await self._store.finish(task.seq)
            return ""
        since_first = ended - (task.first_dispatch or ended)
        if policy.exhausted(attempts=task.dispatches, since_first=since_first, age=ended - task.created):
            await self._store.finish(task.seq)
            return f", dropped after {task.dispatches} attempts"
        due = (retry_from or ended) + policy.backoff(task.dispatches)
        await self._store.put_back(
            task.seq, due=due, ended=ended, status=outcome.status, code=outcome.code, error=outcome.error
        )
        return f", again in {max(0.0, due - ended):.1f} s"
