"""queue.yaml and cron.yaml: what an upload would do, and the same without App Engine."""

from pathlib import Path

import pytest

from apps.appengine import cron_yaml, queue_yaml
from apps.appengine.deploy import cloud_scheduler, cloud_tasks, queues
from apps.appengine.deploy.options import Options
from apps.appengine.deploy.shell import FailedError

NOW = {"default": "RUNNING", "kept": "RUNNING", "gone": "RUNNING", "resting": "PAUSED", "old": "DISABLED"}


def test_a_queue_that_the_file_omits_would_be_paused_but_default_and_those_that_rest() -> None:
    assert queues.would_pause(NOW, ["kept"]) == {"gone"}


def test_a_queue_that_somebody_paused_would_be_resumed_but_not_one_that_an_upload_paused() -> None:
    assert queues.would_resume(NOW, ["kept", "resting"], old=["kept", "resting"]) == {"resting"}
    assert queues.would_resume(NOW, ["kept", "resting"], old=["kept"]) == set()


def test_each_is_refused_until_the_option_names_it() -> None:
    new, old = ["kept", "resting"], ["kept", "gone", "resting"]
    pause, resume = queues.refused(NOW, new, old, Options("example"))
    assert "DISABLE_QUEUES=gone" in pause
    assert "RESUME_QUEUES=resting" in resume
    agreed = Options("example", disable_queues=frozenset({"gone"}), resume_queues=frozenset({"resting"}))
    assert queues.refused(NOW, new, old, agreed) == []


def queue(tmp_path: Path, text: str) -> queue_yaml.Queue:
    (tmp_path / "queue.yaml").write_text(f"queue:\n- name: q\n{text}")
    return queue_yaml.read(tmp_path / "queue.yaml")["q"]


def test_a_queue_becomes_flags_with_one_attempt_more_than_retries(tmp_path: Path) -> None:
    full = (
        "  rate: 30/m\n  bucket_size: 9\n  max_concurrent_requests: 7\n"
        "  retry_parameters: {task_retry_limit: 10, task_age_limit: 2d, "
        "min_backoff_seconds: 0.5, max_backoff_seconds: 300, max_doublings: 4}\n"
    )
    assert cloud_tasks.flags(queue(tmp_path, full)) == [
        "--max-dispatches-per-second=0.5",
        "--max-concurrent-dispatches=7",
        "--max-attempts=11",
        "--max-retry-duration=172800s",
        "--min-backoff=0.5s",
        "--max-backoff=300s",
        "--max-doublings=4",
    ]


def test_a_queue_without_limits_and_rate_sets_none(tmp_path: Path) -> None:
    flags = cloud_tasks.flags(queue(tmp_path, "  rate: 0\n"))
    assert "--max-attempts=unlimited" in flags
    assert "--max-retry-duration=unlimited" in flags
    assert not [flag for flag in flags if "dispatches-per-second" in flag]


def job(tmp_path: Path, text: str) -> cron_yaml.Job:
    (tmp_path / "cron.yaml").write_text(f"cron:\n- url: /_cron/a_b/c\n  schedule: every monday 09:00\n{text}")
    return cron_yaml.read(tmp_path / "cron.yaml")[0]


def test_a_cron_job_becomes_flags_with_its_own_schedule_and_a_token(tmp_path: Path) -> None:
    text = "  timezone: Europe/Berlin\n  retry_parameters: {job_retry_limit: 3, job_age_limit: 1h}\n"
    flags = cloud_scheduler.flags(job(tmp_path, text), "https://site", "tasks@example")
    assert cloud_scheduler.job_name("/_cron/a_b/c") == "cron-a-b-c"
    assert {
        "--schedule=every monday 09:00",
        "--time-zone=Europe/Berlin",
        "--uri=https://site/_cron/a_b/c",
        "--http-method=GET",
        "--oidc-token-audience=https://site",
        "--oidc-service-account-email=tasks@example",
        "--max-retry-attempts=3",
        "--max-retry-duration=3600s",
    } <= set(flags)


def test_a_target_that_only_app_engine_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="/_cron/a_b/c has a target"):
        cloud_scheduler.flags(job(tmp_path, "  target: other\n"), "https://site", "tasks@example")
