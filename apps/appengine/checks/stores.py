"""Cloud SQL, Memorystore and Cloud Storage: where they are, and how they are reached."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution
from django.core.files.storage import FileSystemStorage
from django.utils.module_loading import import_string

from apps.appengine import trust
from apps.appengine.app_yaml import AppYaml

from .files import on_app_engine

EXAMPLE_PROJECT = "my-project"  # what app.yaml of the repository names
SAFE_MODES = {"require", "verify-ca", "verify-full"}


@on_app_engine
def check_example_is_replaced(app: AppYaml) -> Iterator[CheckMessage]:
    """E091: the project that app.yaml comes with is replaced by the one that is deployed to."""
    project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    left = sorted(name for name, value in app.env_variables.items() if EXAMPLE_PROJECT in value)
    if left and EXAMPLE_PROJECT not in project:
        yield Error(
            f"{app.name}, env_variables: {', '.join(left)} still names {EXAMPLE_PROJECT}, the example. Write "
            f"what belongs to {project or 'your project'}, or deploy with `make deploy "
            f"PROJECT={project or '...'}`, which does.",
            id="appengine.E091",
        )


@on_app_engine
def check_instance(app: AppYaml) -> Iterator[CheckMessage]:
    """E093, W091, W092: the Cloud SQL instance is ours, and near."""
    name = app.env_variables.get("INSTANCE_CONNECTION_NAME", "")
    if not name or EXAMPLE_PROJECT in name:
        return
    field = f"{app.name}, env_variables: INSTANCE_CONNECTION_NAME"
    if name.count(":") < 2 or not all(name.rsplit(":", 2)):
        yield Error(
            f"{field} is {name}. Write project:region:instance, as `gcloud sql instances describe` shows it "
            "(connectionName).",
            id="appengine.E093",
        )
        return
    project, region, _ = name.rsplit(":", 2)
    ours, location = os.environ.get("GOOGLE_CLOUD_PROJECT", ""), trust.options().get("LOCATION", "")
    if ours and project != ours:
        yield Caution(
            f"{field} is of the project {project}, and this deploys to {ours}: two sites would share a "
            f"database. Write {ours}:{region}:...",
            id="appengine.W091",
        )
    if location and region != location:
        yield Caution(
            f"{field} is in {region}, and CLOUD_TASKS_LOCATION is {location}: each query crosses regions. "
            "Correct the one that is wrong.",
            id="appengine.W092",
        )


@register("appengine", deploy=True)
def check_database(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  Django passes app_configs, databases
    """E110, E111, W112, W113: SQL is a server, encrypted on the way, with connections that last."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3":
        yield Error(
            "DATABASES['default'] is SQLite, and the disk of an instance is read-only and its own. Set "
            "INSTANCE_CONNECTION_NAME, DB_NAME and DB_USER.",
            id="appengine.E111",
        )
        return
    host, mode = database.get("HOST", ""), database.get("OPTIONS", {}).get("sslmode")
    if not host.startswith("/") and not _is_loopback(host) and mode not in SAFE_MODES:
        yield Error(
            f"DATABASES['default'] reaches {host} over TCP with sslmode={mode or 'prefer'}: passwords and "
            "rows may travel in the clear. Set OPTIONS['sslmode'] to require, or use the socket "
            "(INSTANCE_CONNECTION_NAME).",
            id="appengine.E110",
        )
    if database.get("CONN_MAX_AGE") == 0:
        yield Caution(
            "DATABASES['default']['CONN_MAX_AGE'] is 0: each request opens a connection of its own, 10 ms "
            "and more. Write seconds, such as 300.",
            id="appengine.W112",
        )
    elif not database.get("CONN_HEALTH_CHECKS"):
        yield Caution(
            "DATABASES['default']['CONN_HEALTH_CHECKS'] is off, and CONN_MAX_AGE keeps connections: after "
            "the database restarts, the first request of each thread fails. Write True.",
            id="appengine.W113",
        )


@on_app_engine
def check_network(app: AppYaml) -> Iterator[CheckMessage]:
    """E114: what has a private address is reached through VPC access."""
    hosts = {
        "REDIS_HOST": getattr(settings, "REDIS_HOST", ""),
        "DB_HOST": settings.DATABASES["default"].get("HOST", ""),
    }
    for name, host in hosts.items():
        if _is_private(host) and not app.has_vpc_access:
            yield Error(
                f"{app.name}: {name} is {host}, an address inside the network, and vpc_access_connector is "
                "missing: App Engine is outside. Add vpc_access_connector with the connector's name, or "
                f"remove {name}.",
                id="appengine.E114",
            )


@register("appengine", deploy=True)
def check_media(**kwargs: Any) -> Iterator[CheckMessage]:  # noqa: ARG001  as above
    """E116: files that are stored are still there tomorrow."""
    if issubclass(import_string(settings.STORAGES["default"]["BACKEND"]), FileSystemStorage):
        yield Error(
            "STORAGES['default'] is a folder, and the disk of an instance is read-only and its own: uploads "
            "fail. Set MEDIA_BUCKET to a bucket of Cloud Storage.",
            id="appengine.E116",
        )


def _is_loopback(host: str) -> bool:
    return host in {"", "localhost"} or (_address(host) is not None and ip_address(host).is_loopback)


def _is_private(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_private and not address.is_loopback


def _address(host: str) -> Any:
    try:
        return ip_address(host)
    except ValueError:
        return None
