"""The project's files, as checks see them.

They are looked for in settings.BASE_DIR; APP_YAML names another file than app.yaml, such as the one that a
deploy renders. One that is missing is not checked, since a container image need not carry them; only
`--deploy` asks for them, and only for App Engine.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution

from apps.appengine import app_yaml, cron, cron_yaml, queue_yaml, trust
from apps.appengine.app_yaml import AppYaml

type AppCheck = Callable[[AppYaml], Iterator[CheckMessage]]

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError)


def path_of(name: str) -> Path:
    return Path(settings.BASE_DIR) / name


def app_yaml_path() -> Path:
    return path_of(os.environ.get("APP_YAML") or "app.yaml")


def read_app() -> AppYaml | None:
    """app.yaml for a check of App Engine; None for Cloud Run, or where E050 or E051 says what is wrong."""
    if trust.options().get("TARGET") == "http" or not app_yaml_path().exists():
        return None
    try:
        return app_yaml.read(app_yaml_path())
    except UNREADABLE:
        return None


def queues() -> dict[str, queue_yaml.Queue]:
    """The queues of queue.yaml; none where it is missing, or where E010 says what is wrong."""
    try:
        return queue_yaml.read(path_of("queue.yaml"))
    except (OSError, *UNREADABLE):
        return {}


def cron_entries() -> list[cron_yaml.Job]:
    """The jobs of cron.yaml; none where it is missing, or where E021 says what is wrong."""
    try:
        return cron_yaml.read(path_of("cron.yaml"))
    except (OSError, *UNREADABLE):
        return []


def on_app_engine(check: AppCheck) -> AppCheck:
    """Registers a deploy check of app.yaml, called where there is one to check."""

    @register("appengine", deploy=True)
    def registered(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  Django passes app_configs, databases
        if app := read_app():
            yield from check(app)

    return check


def checked(
    path: Path, id_: str, compare: Callable[[Path], Iterator[CheckMessage]]
) -> Iterator[CheckMessage]:
    """What `compare` finds in a file of the project; a file that cannot be read as such is a finding too."""
    if not path.exists():
        return
    try:
        yield from compare(path)
    except UNREADABLE as error:
        reason = str(error) if isinstance(error, ValueError) else repr(error)
        yield Error(f"{path.name} cannot be read: {reason}", id=id_)


@register("appengine")
def check_app_yaml(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E050: app.yaml can be read."""

    def read(path: Path) -> Iterator[CheckMessage]:
        app_yaml.read(path)
        yield from ()

    yield from checked(app_yaml_path(), "appengine.E050", read)


@register("appengine", deploy=True)
def check_files_are_there(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E051, E013, E026: what App Engine is deployed from."""
    if trust.options().get("TARGET") != "appengine":
        return
    if not app_yaml_path().exists():
        yield Error(
            f"{app_yaml_path().name} is missing in {settings.BASE_DIR}: nothing of it is checked.",
            hint="Put it there, or name another one with APP_YAML.",
            id="appengine.E051",
        )
        return
    queues = sorted(settings.TASKS["default"].get("QUEUES", ["default"]))
    if not path_of("queue.yaml").exists():
        yield Error(
            f"queue.yaml is missing, and TASKS uses {', '.join(queues)}. Write it beside app.yaml, one entry "
            "a queue.",
            id="appengine.E013",
        )
    if cron.jobs() and not path_of("cron.yaml").exists():
        yield Error(
            f"cron.yaml is missing, and CRON_JOBS has {', '.join(sorted(cron.jobs()))}: nothing calls them. "
            "Write it beside app.yaml, one entry a job.",
            id="appengine.E026",
        )


@on_app_engine
def check_runtime(app: AppYaml) -> Iterator[CheckMessage]:
    """E052: the runtime is a Python that the project runs on."""
    runtime = re.fullmatch(r"python3(\d{1,2})", app.runtime)
    least = _least_python()
    if runtime is None or int(runtime[1]) < least:
        yield Error(
            f"{app.name}: runtime is {app.runtime or 'missing'}, and this project needs Python 3.{least}. "
            f"Write `runtime: python3{max(least, 13)}`.",
            hint="pyproject.toml says which Python: requires-python.",
            id="appengine.E052",
        )


def _least_python() -> int:
    """The minor version of `requires-python = ">=3.12"`."""
    path = path_of("pyproject.toml")
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"] if path.exists() else {}
    match = re.search(r">=\s*3\.(\d+)", project.get("requires-python", ""))
    return int(match[1]) if match else 12


@on_app_engine
def check_settings_are_those_of_app_yaml(app: AppYaml) -> Iterator[CheckMessage]:
    """E090, W094: the settings that are being checked are those that will be deployed."""
    module = app.env_variables.get("DJANGO_SETTINGS_MODULE", settings.SETTINGS_MODULE)
    if module != settings.SETTINGS_MODULE:
        yield Error(
            f"{app.name}, env_variables: DJANGO_SETTINGS_MODULE is {module}, and these checks looked at "
            f"{settings.SETTINGS_MODULE}. Correct the line, or check with --settings {module}.",
            id="appengine.E090",
        )
    unseen = [
        name
        for name, value in app.env_variables.items()
        if name != "DJANGO_SETTINGS_MODULE" and os.environ.get(name) != value
    ]
    if unseen:
        yield Caution(
            f"{app.name} sets {', '.join(sorted(unseen))}, which these checks did not see: they looked at "
            "other settings than those that will be deployed.",
            hint=f"Run them with APP_YAML={app.name} in the environment.",
            id="appengine.W094",
        )
