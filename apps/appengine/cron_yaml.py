"""Reads cron.yaml: the local cron clock runs it, the system checks compare it with the routes.

Fields: https://cloud.google.com/appengine/docs/standard/reference/cron-yaml
"""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from .groc import Schedule

JOB_FIELDS = {"url", "schedule", "description", "timezone", "target", "retry_parameters"}
MOST_RETRIES = 5
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class RetryParameters:
    """How often and how soon a failed run is repeated; without any limit, never.

    Defaults and limits are those that `gcloud app deploy cron.yaml` gives to Cloud Scheduler, the meaning
    is that of its RetryConfig: https://cloud.google.com/scheduler/docs/configuring/retry-jobs
    """

    job_retry_limit: int = 0
    job_age_limit: timedelta = timedelta(0)
    min_backoff_seconds: float = 0.1
    max_backoff_seconds: float = 3600.0
    max_doublings: int = 16

    def allows(self, retry: int, age: timedelta) -> bool:
        """Whether retry 1, 2, ... may start `age` after the first try: until both limits are reached."""
        return retry <= self.job_retry_limit or age < self.job_age_limit

    def backoff(self, retry: int) -> float:
        """Seconds to wait before retry 1, 2, ...: doubled `max_doublings` times, then grown linearly."""
        doublings = min(retry - 1, self.max_doublings)
        seconds = self.min_backoff_seconds * 2.0**doublings * (retry - doublings)
        return min(seconds, max(self.min_backoff_seconds, self.max_backoff_seconds))


@dataclass(frozen=True)
class Job:
    """One entry of cron.yaml."""

    url: str
    schedule: Schedule
    description: str = ""
    timezone: str = "UTC"
    target: str | None = None
    retry_parameters: RetryParameters | None = None


def read(path: Path) -> list[Job]:
    """Every job of the file. Raises ValueError naming the file, the job and the field at fault."""
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is no YAML: {error}") from error
    entries = document.get("cron", "") if isinstance(document, dict) else ""
    if entries is None:  # `cron:` and nothing more: no jobs, for Google too
        return []
    if not isinstance(entries, list):
        raise ValueError(f"{path.name}: a list named `cron` is missing")
    return [job(entry, f"{path.name}: job {number}") for number, entry in enumerate(entries, start=1)]


def job(entry: Any, where: str) -> Job:
    """One job from its YAML mapping."""
    check_fields(entry, JOB_FIELDS, where)
    where = f"{where} ({entry.get('url', 'without url')})"
    texts = {name: text(entry, name, where) for name in JOB_FIELDS - {"retry_parameters"} if name in entry}
    if not texts.get("url", "").startswith("/"):
        raise ValueError(f"{where}: url must begin with /")
    try:
        schedule = Schedule.parse(texts.pop("schedule", ""), texts.get("timezone", "UTC"))
    except ValueError as error:
        raise ValueError(f"{where}: schedule: {error}") from error
    retry = entry.get("retry_parameters")
    parameters = None if retry is None else retry_parameters(retry, f"{where}: retry_parameters")
    return Job(schedule=schedule, retry_parameters=parameters, **texts)


def retry_parameters(entry: Any, where: str) -> RetryParameters:
    """The retry block of a job, refused where `gcloud app deploy` refuses it."""
    check_fields(entry, set(RetryParameters.__dataclass_fields__), where)
    values = {
        name: number(value, f"{where}.{name}") for name, value in entry.items() if name != "job_age_limit"
    }
    if "job_age_limit" in entry:
        values["job_age_limit"] = age(entry["job_age_limit"], f"{where}.job_age_limit")
    if values.get("job_retry_limit", 0) > MOST_RETRIES:
        raise ValueError(f"{where}.job_retry_limit: must be {MOST_RETRIES} or less")
    if values.get("min_backoff_seconds", 0) > values.get("max_backoff_seconds", math.inf):
        raise ValueError(f"{where}.min_backoff_seconds: must not be above max_backoff_seconds")
    return RetryParameters(**values)


def check_fields(entry: Any, known: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: must be a mapping")
    if unknown := set(entry) - known:
        raise ValueError(f"{where}: unknown field {', '.join(sorted(map(str, unknown)))}")


def text(entry: dict[str, Any], name: str, where: str) -> str:
    if isinstance(value := entry[name], str):
        return value
    raise ValueError(f"{where}: {name} must be text")


def number(value: Any, where: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{where}: must be a number, zero or more")
    return value


def age(value: Any, where: str) -> timedelta:
    """`30s`, `5m`, `3.5h` or `2d`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
    if not match or not float(match[1]):
        raise ValueError(f"{where}: must be above zero, a number and a unit, like 30s, 5m, 3.5h or 2d")
    return timedelta(**{UNITS[match[2]]: float(match[1])})
