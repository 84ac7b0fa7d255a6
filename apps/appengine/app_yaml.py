"""Reads app.yaml: the local runtime runs by it, the system checks hold it against the settings.

Fields: https://cloud.google.com/appengine/docs/standard/reference/app-yaml
Nothing here imports Django or Google. Fields that nobody here needs are left unread: `gcloud app deploy`
checks them.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DEFAULT_EXPIRATION = "10m"
SECONDS = {"s": 1, "": 1, "m": 60, "h": 3600, "d": 86_400}
REQUEST_DEADLINES = {"automatic_scaling": 600, "basic_scaling": 86_400, "manual_scaling": 86_400}  # seconds


@dataclass(frozen=True)
class StaticHandler:
    """A folder that App Engine serves itself: the app never sees these requests."""

    url: str
    folder: Path
    expiration_seconds: int


@dataclass(frozen=True)
class Handler:
    """One entry of `handlers`. `folder` is that of a static one, relative to the file; else it is empty."""

    url: str
    folder: str = ""
    files: str = ""
    secure: str = "optional"
    login: str = "optional"

    @property
    def is_static(self) -> bool:
        return bool(self.folder or self.files)

    def takes(self, path: str) -> bool:
        """Whether App Engine gives it this path: a folder by prefix, everything else by the whole path."""
        if self.folder:
            return path.startswith(self.url.rstrip("/") + "/")
        return re.fullmatch(self.url, path) is not None


@dataclass(frozen=True)
class Scaling:
    """The one scaling block of the file, automatic where it has none. None means what App Engine chooses."""

    kind: str = "automatic_scaling"
    max_instances: int | None = None
    min_instances: int = 0
    min_idle_instances: int = 0
    max_concurrent_requests: int = 10

    @property
    def request_deadline(self) -> int:
        """Seconds that App Engine gives one request."""
        return REQUEST_DEADLINES[self.kind]


@dataclass(frozen=True)
class AppYaml:
    """What is read of app.yaml."""

    name: str  # of the file, for messages
    entrypoint: list[str]
    runtime: str = ""
    instance_class: str = "F1"
    handlers: list[Handler] = field(default_factory=list)
    static_handlers: list[StaticHandler] = field(default_factory=list)
    inbound_services: frozenset[str] = frozenset()
    scaling: Scaling = field(default_factory=Scaling)
    env_variables: dict[str, str] = field(default_factory=dict)
    has_vpc_access: bool = False

    def handler_of(self, path: str) -> Handler | None:
        """The first handler that takes the path. Without `handlers` everything goes to the app."""
        return next((one for one in self.handlers or [Handler("/.*")] if one.takes(path)), None)


def read(path: Path) -> AppYaml:
    """Raises ValueError naming the file and the field at fault; OSError when there is no such file."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is no YAML: {error}") from error
    if not isinstance(document, dict) or not document.get("entrypoint"):
        raise ValueError(
            f"{path.name}: entrypoint is missing; without it App Engine chooses workers and threads itself"
        )
    entries = _list_of_mappings(document, "handlers", path.name)
    default = str(document.get("default_expiration", DEFAULT_EXPIRATION))
    return AppYaml(
        name=path.name,
        entrypoint=shlex.split(document["entrypoint"]),
        runtime=str(document.get("runtime", "")),
        instance_class=str(document.get("instance_class", "F1")),
        handlers=[_handler(entry, path.name) for entry in entries],
        static_handlers=[_static_handler(entry, default, path) for entry in entries if "static_dir" in entry],
        inbound_services=frozenset(document.get("inbound_services") or []),
        scaling=_scaling(document, path.name),
        env_variables=_env_variables(document, path.name),
        has_vpc_access=any(name.startswith("vpc_access") for name in document),
    )


def seconds(expiration: str, where: str) -> int:
    """The seconds in a delta like `1d 4h 30m`; a number without a unit is seconds."""
    parts = [re.fullmatch(r"(\d+)([dhms]?)", part.lower()) for part in expiration.split()]
    if not parts or None in parts:
        raise ValueError(f"{where}: expiration {expiration!r} must be like 30m, 12h or `1d 4h`")
    return sum(int(part[1]) * SECONDS[part[2]] for part in parts if part)


def _list_of_mappings(document: Mapping[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    entries = document.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{where}: {name} must be a list of mappings")
    return entries


def _handler(entry: Mapping[str, Any], where: str) -> Handler:
    if "url" not in entry:
        raise ValueError(f"{where}: handlers: {entry!r} lacks url")
    names = {
        "url": "url",
        "static_dir": "folder",
        "static_files": "files",
        "secure": "secure",
        "login": "login",
    }
    return Handler(**{names[name]: str(value) for name, value in entry.items() if name in names})


def _static_handler(entry: Mapping[str, Any], default_expiration: str, path: Path) -> StaticHandler:
    expiration = seconds(str(entry.get("expiration", default_expiration)), path.name)
    return StaticHandler(entry["url"].rstrip("/"), path.parent / entry["static_dir"], expiration)


def _scaling(document: Mapping[str, Any], where: str) -> Scaling:
    kinds = [kind for kind in REQUEST_DEADLINES if document.get(kind)]
    if len(kinds) > 1:
        raise ValueError(f"{where}: {' and '.join(kinds)} exclude each other")
    if not kinds:
        return Scaling()
    block = document[kinds[0]]
    known = {name: block[name] for name in Scaling.__dataclass_fields__ if name in block}
    if kinds[0] == "manual_scaling" and "instances" in block:
        known["max_instances"] = block["instances"]
    # `automatic` is what App Engine chooses, as when the field is absent.
    known = {name: value for name, value in known.items() if value != "automatic"}
    for name, value in known.items():
        if type(value) is not int or value < 0:
            raise ValueError(f"{where}: {kinds[0]}.{name} must be a whole number, found {value!r}")
    return Scaling(kind=kinds[0], **known)


def _env_variables(document: Mapping[str, Any], where: str) -> dict[str, str]:
    variables = document.get("env_variables") or {}
    if not isinstance(variables, dict):
        raise ValueError(f"{where}: env_variables must be a mapping")
    return {str(name): str(value) for name, value in variables.items()}
