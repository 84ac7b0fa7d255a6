"""Reads cron.yaml: the local cron clock runs it, the system checks compare it with the routes.

Fields: https://cloud.google.com/appengine/docs/standard/reference/cron-yaml
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from .groc import Schedule

JOB_FIELDS = {"url", "schedule", "description", "timezone", "target", "retry_parameters"}
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class RetryParameters:
    """How often and how soon a failed run is repeated. Defaults are those App Engine documents.

    Retries end when the limits that are given (`job_retry_limit`, `job_age_limit`) are all exhausted.
    """

    job_retry_limit: int | None = None
    job_age_limit: timedelta | None = None
    min_backoff_seconds: float = 5.0
    max_backoff_seconds: float = 3600.0
    max_doublings: int = 5

    def backoff(self, retry: int) -> float:
        """Seconds to wait before retry 1, 2, ...: doubled `max_doublings` times, then grown linearly."""
        doublings = min(retry - 1, self.max_doublings)
        steps = retry - 1 - doublings
        seconds = self.min_backoff_seconds * 2.0**doublings * (1 + steps)
        return min(seconds, self.max_backoff_seconds)

    def allows(self, retry: int, age: timedelta) -> bool:
        """Whether retry number 1, 2, ... may start when the first run began `age` ago."""
        if self.job_retry_limit is None and self.job_age_limit is None:
            return True
        count_left = self.job_retry_limit is not None and retry <= self.job_retry_limit
        return count_left or (self.job_age_limit is not None and age < self.job_age_limit)


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
    entries = document.get("cron") if isinstance(document, dict) else None
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
    """The retry block of a job."""
    check_fields(entry, set(RetryParameters.__dataclass_fields__), where)
    values = {
        name: number(value, f"{where}.{name}") for name, value in entry.items() if name != "job_age_limit"
    }
    if "job_age_limit" in entry:
        values["job_age_limit"] = age(entry["job_age_limit"], f"{where}.job_age_limit")
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
    try:
        return timedelta(**{UNITS[value[-1]]: float(value[:-1])})
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{where}: must be a number and a unit, like 30s, 5m, 3.5h or 2d") from error
