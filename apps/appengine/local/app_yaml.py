"""Reads what the local runtime needs of app.yaml: the entrypoint and the static handlers.

Fields: https://cloud.google.com/appengine/docs/standard/reference/app-yaml
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEFAULT_EXPIRATION = "10m"
SECONDS = {"s": 1, "": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class StaticHandler:
    """A folder that App Engine serves itself: the app never sees these requests."""

    url: str
    folder: Path
    expiration_seconds: int


@dataclass(frozen=True)
class AppYaml:
    """What is left of app.yaml for a local run."""

    entrypoint: list[str]
    static_handlers: list[StaticHandler]


def read(path: Path) -> AppYaml:
    """Raises ValueError naming the file and the field at fault."""
    document = yaml.safe_load(path.read_text())
    if not isinstance(document, dict) or not document.get("entrypoint"):
        raise ValueError(f"{path.name}: entrypoint is missing")
    default = str(document.get("default_expiration", DEFAULT_EXPIRATION))
    handlers = [entry for entry in document.get("handlers") or [] if "static_dir" in entry]
    statics = [static_handler(entry, default, path) for entry in handlers]
    return AppYaml(shlex.split(document["entrypoint"]), statics)


def static_handler(entry: dict[str, Any], default_expiration: str, path: Path) -> StaticHandler:
    expiration = seconds(str(entry.get("expiration", default_expiration)), path.name)
    return StaticHandler(entry["url"].rstrip("/"), path.parent / entry["static_dir"], expiration)


def seconds(expiration: str, where: str) -> int:
    """The seconds in a delta like `1d 4h 30m`; a number without a unit is seconds."""
    parts = [re.fullmatch(r"(\d+)([dhms]?)", part.lower()) for part in expiration.split()]
    if not parts or None in parts:
        raise ValueError(f"{where}: expiration {expiration!r} must be like 30m, 12h or `1d 4h`")
    return sum(int(part[1]) * SECONDS[part[2]] for part in parts if part)
