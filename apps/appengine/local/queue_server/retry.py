"""Whether a failed task is tried again, and when. Pure.

https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#RetryConfig
"""

from dataclasses import dataclass, replace
from typing import Any

from apps.appengine.queue_yaml import RetryParameters

RETENTION = 31 * 86400.0  # seconds a task is kept at most: https://cloud.google.com/tasks/docs/quotas#limits


@dataclass(frozen=True)
class RetryPolicy:
    """The fields of RetryConfig, in seconds; 0 or None where there is no limit."""

    max_attempts: int | None
    max_retry_duration: float
    min_backoff: float
    max_backoff: float
    max_doublings: int

    @classmethod
    def of(cls, parameters: RetryParameters) -> "RetryPolicy":
        """A queue.yaml retry limit counts retries, Cloud Tasks counts attempts: one more."""
        limit = parameters.task_retry_limit
        return cls(
            max_attempts=None if limit is None else limit + 1,
            max_retry_duration=parameters.task_age_limit or 0.0,
            min_backoff=parameters.min_backoff_seconds,
            max_backoff=parameters.max_backoff_seconds,
            max_doublings=parameters.max_doublings,
        )

    def overridden(self, config: Any) -> "RetryPolicy":
        """With the fields that a task's own RetryConfig sets; max_attempts -1 means without limit."""
        durations = ("max_retry_duration", "min_backoff", "max_backoff")
        changes: dict[str, Any] = {
            name: getattr(config, name).ToMilliseconds() / 1000 for name in durations if config.HasField(name)
        }
        if config.max_attempts:
            changes["max_attempts"] = config.max_attempts if config.max_attempts > 0 else None
        if config.max_doublings:
            changes["max_doublings"] = config.max_doublings
        return replace(self, **changes)

    def backoff(self, attempts: int) -> float:
        """Seconds from the failure of attempt number `attempts` to the next.

        Starts at min_backoff, doubles max_doublings times, then grows linearly by the last step, and
        stays at max_backoff: for 10 s, 300 s and 3 that is 10, 20, 40, 80, 160, 240, 300, 300.
        """
        # Past 64 doublings every max_backoff is reached; larger powers overflow a float.
        doublings = min(attempts - 1, self.max_doublings, 64)
        linear = max(1, attempts - self.max_doublings)
        return min(self.max_backoff, self.min_backoff * float(2**doublings) * linear)

    def exhausted(self, *, attempts: int, since_first: float, age: float) -> bool:
        """Whether a task that failed `attempts` times is dropped.

        When both limits are set, both must be reached; a limit that is not set is no limit, save that
        no task is kept for more than 31 days. `since_first` counts from the first attempt, `age` from
        the creation, in seconds.
        """
        if age >= RETENTION:
            return True
        limits = []
        if self.max_attempts is not None:
            limits.append(attempts >= self.max_attempts)
        if self.max_retry_duration:
            limits.append(since_first >= self.max_retry_duration)
        return bool(limits) and all(limits)
