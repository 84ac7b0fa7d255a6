"""The token bucket that holds a queue to its rate."""

from dataclasses import dataclass

THROTTLE_STEPS = 6  # at most 1/64 of the rate
THROTTLE_HOLD = 1.0  # seconds in which several 503 answers count as one signal
THROTTLE_RECOVERY = 10.0  # seconds without one until the rate doubles again
WAKE_INTERVAL = 0.02  # seconds' worth of tokens a full queue is woken for, rather than for each one


@dataclass
class TokenBucket:
    """Holds up to `size` tokens, refilled continuously at `rate` a second; a dispatch takes one.

    Times are Unix seconds, so that a bucket kept on disk has refilled while the server was down.
    https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#RateLimits
    """

    rate: float
    size: int
    tokens: float
    refilled: float
    throttled: float = 0.0
    steps: int = 0

    def refill(self, now: float) -> None:
        """Add what has run in since the last call."""
        self.tokens = self.level(now)
        self.refilled = now

    def level(self, now: float) -> float:
        """Tokens there would be after a refill."""
        elapsed = max(0.0, now - self.refilled)
        return min(float(self.size), self.tokens + elapsed * self.effective_rate(now))

    def seconds_to_wait(self, now: float) -> float:
        """Until a few tokens are there: one, or as many as run in within WAKE_INTERVAL."""
        rate = self.effective_rate(now)
        wanted = max(1.0, min(self.size, rate * WAKE_INTERVAL))
        return max(0.001, (wanted - self.tokens) / rate)

    def throttle(self, now: float) -> None:
        """Halve the rate: the target says it is overloaded.

        Google documents that it throttles, not how much. Here: half for each signal, at most one signal
        a second, never below 1/64, and doubled again for every ten seconds without a signal.
        """
        if now - self.throttled >= THROTTLE_HOLD:
            self.refill(now)
            self.steps = min(self._steps(now) + 1, THROTTLE_STEPS)
            self.throttled = now

    def effective_rate(self, now: float) -> float:
        """Tokens a second, throttling considered."""
        return self.rate * float(0.5 ** self._steps(now))

    def _steps(self, now: float) -> int:
        return max(0, self.steps - int((now - self.throttled) / THROTTLE_RECOVERY))
