from datetime import timedelta
from pathlib import Path

import pytest

from apps.appengine import cron_yaml
from apps.appengine.cron_yaml import RetryParameters

FULL = """
cron:
- url: /_cron/tidy
  schedule: every 10 mins
- url: /_cron/report?day=monday
  schedule: every monday 09:00
  description: weekly report
  timezone: Europe/Berlin
  target: reports
  retry_parameters:
    job_retry_limit: 3
    job_age_limit: 2.5h
    min_backoff_seconds: 10
    max_backoff_seconds: 300
    max_doublings: 3
"""


def read(tmp_path: Path, text: str) -> list[cron_yaml.Job]:
    file = tmp_path / "cron.yaml"
    file.write_text(text)
    return cron_yaml.read(file)


def test_every_documented_field_is_read(tmp_path: Path) -> None:
    plain, full = read(tmp_path, FULL)
    assert (plain.url, plain.schedule.text, plain.timezone) == ("/_cron/tidy", "every 10 mins", "UTC")
    assert plain.retry_parameters is None
    assert (full.description, full.timezone, full.target) == ("weekly report", "Europe/Berlin", "reports")
    assert full.retry_parameters == RetryParameters(3, timedelta(hours=2.5), 10, 300, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cron: [{url: /a, schedule: every 1 fortnight}]", r"cron.yaml: job 1 \(/a\): schedule: 'fortnight'"),
        ("cron: [{url: /a, schedule: every day 1:00, timezone: Mars}]", r"job 1 \(/a\).*time zone 'Mars'"),
        ("cron: [{url: a, schedule: every 1 mins}]", "url must begin with /"),
        ("cron: [{schedule: every 1 mins}]", "url must begin with /"),
        ("cron: [{url: /a}]", "schedule"),
        ("cron: [{url: /a, schedule: every 1 mins}, {url: /b, schedul: x}]", "job 2: unknown field schedul"),
        ("cron: [{url: /a, schedule: 5}]", "schedule must be text"),
        ("cron: [nothing]", "job 1: must be a mapping"),
        ("cron: none", "a list named `cron` is missing"),
        ("", "a list named `cron` is missing"),
        ("cron: [", "cron.yaml is no YAML"),
    ],
)
def test_a_mistake_is_reported_with_file_job_and_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_a_file_may_list_no_jobs(tmp_path: Path) -> None:
    assert read(tmp_path, "cron:\n# none yet\n") == []


@pytest.mark.parametrize(
    "retry",
    [
        "{job_retry_limit: 6}",
        "{job_retry_limit: -1}",
        "{job_age_limit: 5}",
        "{job_age_limit: 0s}",
        "{job_age_limit: soon}",
        "{max_doublings: many}",
        "{min_backoff_seconds: 20, max_backoff_seconds: 10}",
        "{unknown: 1}",
        "3",
    ],
)
def test_retry_parameters_that_the_deployment_refuses_are_refused(tmp_path: Path, retry: str) -> None:
    with pytest.raises(ValueError, match="retry_parameters"):
        read(tmp_path, f"cron: [{{url: /a, schedule: every 1 mins, retry_parameters: {retry}}}]")


def test_backoff_doubles_then_grows_linearly_up_to_the_maximum() -> None:
    """The example of Cloud Scheduler's reference."""
    parameters = RetryParameters(min_backoff_seconds=10, max_backoff_seconds=300, max_doublings=3)
    assert [parameters.backoff(retry) for retry in range(1, 9)] == [10, 20, 40, 80, 160, 240, 300, 300]


def test_retries_end_when_both_limits_are_reached() -> None:
    early, late = timedelta(minutes=1), timedelta(hours=2)
    assert not RetryParameters().allows(1, early)
    assert RetryParameters(job_retry_limit=2).allows(2, late)
    assert not RetryParameters(job_retry_limit=2).allows(3, early)
    both = RetryParameters(job_retry_limit=2, job_age_limit=timedelta(hours=1))
    assert both.allows(3, early)
    assert both.allows(2, late)
    assert not both.allows(3, late)
