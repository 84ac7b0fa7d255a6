import random

import pytest

from apps.appengine.local.queue_server.bucket import TokenBucket


def test_any_window_holds_at_most_the_bucket_and_what_runs_in() -> None:
    bucket = TokenBucket(rate=10, size=3, tokens=3, refilled=0)
    now, taken = 0.0, []
    for _ in range(500):
        now += random.expovariate(20)
        bucket.refill(now)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= 3 + 10 * (taken[last] - start) + 1e-6


def test_the_wait_ends_when_there_is_a_token() -> None:
    bucket = TokenBucket(rate=4, size=5, tokens=0.5, refilled=100)
    wait = bucket.seconds_to_wait(100)
    assert wait == pytest.approx(0.125)
    assert bucket.level(100 + wait) == pytest.approx(1)


def test_a_fast_queue_waits_for_several_tokens_at_once() -> None:
    bucket = TokenBucket(rate=500, size=100, tokens=0, refilled=100)
    assert bucket.level(100 + bucket.seconds_to_wait(100)) == pytest.approx(10)


def test_a_clock_that_is_set_back_takes_no_tokens() -> None:
    bucket = TokenBucket(rate=1, size=5, tokens=2, refilled=100)
    bucket.refill(50)
    assert bucket.tokens == 2


def test_throttling_halves_the_rate_once_a_second_and_recovers() -> None:
    bucket = TokenBucket(rate=64, size=5, tokens=0, refilled=1000)
    for _ in range(20):
        bucket.throttle(1000)
    assert bucket.effective_rate(1000) == 32
    for second in range(1001, 1050):
        bucket.throttle(second)
    assert bucket.effective_rate(1049) == 1, "never below 1/64"
    assert bucket.effective_rate(1049 + 10) == 2
    assert bucket.effective_rate(1049 + 60) == 64
