import pytest
from google.cloud.tasks_v2 import RetryConfig

from apps.appengine.local.queue_server.retry import RetryPolicy
from apps.appengine.queue_yaml import RetryParameters


def policy(**parameters: float) -> RetryPolicy:
    return RetryPolicy.of(RetryParameters(**parameters))  # type: ignore[arg-type]  # whole numbers are passed


@pytest.mark.parametrize(
    ("doublings", "intervals"),
    [
        (3, [10, 20, 40, 80, 160, 240, 300, 300]),  # the example of RetryConfig
        (0, [10, 20, 30, 40, 50, 60, 70, 80]),  # "barqueue" of the queue.yaml reference
    ],
)
def test_back_off_doubles_then_grows_linearly_then_stays(doublings: int, intervals: list[float]) -> None:
    retry = policy(min_backoff_seconds=10, max_backoff_seconds=300, max_doublings=doublings)
    assert [retry.backoff(attempt) for attempt in range(1, 9)] == intervals


def test_back_off_of_a_task_that_failed_for_weeks_is_a_number() -> None:
    assert policy(max_doublings=10_000).backoff(100_000) == 3600


def gives_up(retry: RetryPolicy, attempts: int, since_first: float) -> bool:
    return retry.exhausted(attempts=attempts, since_first=since_first, age=since_first)


def test_a_retry_limit_counts_retries() -> None:
    assert not gives_up(policy(task_retry_limit=2), 2, 0)
    assert gives_up(policy(task_retry_limit=2), 3, 0)
    assert gives_up(policy(task_retry_limit=0), 1, 0)


def test_both_limits_must_be_reached_when_both_are_set() -> None:
    both = policy(task_retry_limit=2, task_age_limit=60)
    assert not gives_up(both, 50, 59)
    assert not gives_up(both, 2, 3600)
    assert gives_up(both, 3, 60)


def test_an_age_limit_alone_ends_retries() -> None:
    assert not gives_up(policy(task_age_limit=60), 1000, 59)
    assert gives_up(policy(task_age_limit=60), 1, 60)


def test_without_limits_a_task_is_kept_for_31_days() -> None:
    assert not gives_up(policy(), 100_000, 30.9 * 86400)
    assert gives_up(policy(), 2, 31 * 86400)


def test_a_tasks_own_retry_config_overrides_field_by_field() -> None:
    config = RetryConfig(max_attempts=-1, min_backoff={"seconds": 7})
    overridden = policy(task_retry_limit=2, max_backoff_seconds=50).overridden(RetryConfig.pb(config))
    assert (overridden.max_attempts, overridden.min_backoff, overridden.max_backoff) == (None, 7, 50)
    assert policy(task_retry_limit=2).overridden(RetryConfig.pb(RetryConfig())) == policy(task_retry_limit=2)
