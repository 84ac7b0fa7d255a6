"""Reads queue.yaml, with the fields, limits and defaults that App Engine documents.

Sources: https://cloud.google.com/appengine/docs/standard/reference/queueref for the file, and
https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues for the largest values.
Nothing here imports Django or Google: system checks and the local queue server both read through it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TARGET = re.compile(r"(?!-)[a-z0-9-]{1,100}(\.(?!-)[a-z0-9-]{1,63})?")


@dataclass(frozen=True)
class RetryParameters:
    """When a failed task is tried again. None means without limit; times are seconds."""

    task_retry_limit: int | None = None
    task_age_limit: float | None = None
    min_backoff_seconds: float = 0.1
    max_backoff_seconds: float = 3600.0
    max_doublings: int = 16


@dataclass(frozen=True)
class Queue:
    """One queue of queue.yaml. `rate` is dispatches per second; 0 stops the queue."""

    name: str
    rate: float = 5.0
    bucket_size: int = 5
    max_concurrent_requests: int = 1000
    target: str = ""
    retry_parameters: RetryParameters = field(default_factory=RetryParameters)


def read(path: Path | str) -> dict[str, Queue]:
    """The queues by name. `default` is always among them, as every App Engine project has it.

    Raises ValueError naming the file, the queue and the field; OSError when there is no such file.
    """
    path = Path(path)
    try:
        queues = _queues(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    return {"default": Queue("default")} | queues


def _queues(document: Any) -> dict[str, Queue]:
    # The top-level fields beside `queue` govern deployment and quota: accepted, and without effect here.
    known = {"queue": list, "total_storage_limit": None, "resume_paused_queues": None, "application": None}
    document = _mapping(document or {}, known)
    queues: dict[str, Queue] = {}
    for entry in _list(document.get("queue") or []):
        name = _name(entry)
        if name in queues:
            raise ValueError(f"queue '{name}' is defined twice")
        queues[name] = _queue(name, entry)
    return queues


def _name(entry: Any) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name):
        raise ValueError(
            f"a queue needs a name of 1 to 100 letters, digits and hyphens, in quotes if YAML reads "
            f"it as something else; found {entry!r}"
        )
    return name


def _queue(name: str, entry: dict[str, Any]) -> Queue:
    try:
        if entry.get("mode", "push") != "push":
            raise ValueError("mode: only push queues exist in Cloud Tasks")
        settings = {key: value for key, value in entry.items() if key not in {"name", "mode"}}
        return Queue(name, **_parsed(settings, _QUEUE_FIELDS))
    except ValueError as error:
        raise ValueError(f"queue '{name}': {error}") from error


def _parsed(settings: Mapping[str, Any], fields: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    parsed = {}
    for key, value in _mapping(settings, fields).items():
        try:
            parsed[key] = fields[key](value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
    return parsed


def _mapping(value: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected fields, found {value!r}")
    if unknown := sorted(str(key) for key in value if key not in known):
        raise ValueError(f"unknown field {', '.join(unknown)}; known are {', '.join(known)}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("queue: expected a list of queues")
    return value


def _rate(value: Any) -> float:
    if value in (0, "0"):
        return 0.0
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)/([smhd])", str(value))
    if not match:
        raise ValueError(
            f"expected a number and a unit such as 20/s, 5/m, 1/h or 10/d, or 0; found {value!r}"
        )
    rate = float(match[1]) / _SECONDS[match[2]]
    if rate > 500:
        raise ValueError(f"at most 500/s; found {value!r}")
    return rate


def _age(value: Any) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)([smhd])", str(value))
    if not match or not float(match[1]):
        raise ValueError(f"expected a positive number and a unit such as 90s, 30m, 1h or 2d; found {value!r}")
    return float(match[1]) * _SECONDS[match[2]]


def _integer(least: int, most: int | None = None) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if type(value) is not int or value < least or (most is not None and value > most):
            raise ValueError(f"expected a whole number {_between(least, most)}; found {value!r}")
        return value

    return parse


def _between(least: int, most: int | None) -> str:
    return f"of at least {least}" if most is None else f"from {least} to {most}"


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise ValueError(f"expected seconds, 0 or more; found {value!r}")
    return float(value)


def _target(value: Any) -> str:
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise ValueError(f"expected a service, or version.service; found {value!r}")
    return value


def _retry_parameters(value: Any) -> RetryParameters:
    given = _parsed(value, _RETRY_FIELDS)
    # Where only one bound of the back-off is given, Google moves the default of the other out of its way.
    if "max_backoff_seconds" not in given:
        given["max_backoff_seconds"] = max(3600.0, given.get("min_backoff_seconds", 0.1))
    if "min_backoff_seconds" not in given:
        given["min_backoff_seconds"] = min(0.1, given["max_backoff_seconds"])
    if given["min_backoff_seconds"] > given["max_backoff_seconds"]:
        raise ValueError("min_backoff_seconds is larger than max_backoff_seconds")
    return RetryParameters(**given)


_RETRY_FIELDS: dict[str, Callable[[Any], Any]] = {
    "task_retry_limit": _integer(0),
    "task_age_limit": _age,
    "min_backoff_seconds": _seconds,
    "max_backoff_seconds": _seconds,
    "max_doublings": _integer(0),
}
_QUEUE_FIELDS: dict[str, Callable[[Any], Any]] = {
    "rate": _rate,
    "bucket_size": _integer(1, 500),
    "max_concurrent_requests": _integer(1, 5000),
    "target": _target,
    "retry_parameters": _retry_parameters,
}
