"""Who asks the app for a job: App Engine's cron service, or Cloud Scheduler."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import aiohttp

from apps.appengine import cron_yaml
from apps.appengine.local.issuer import keys


class Caller(Protocol):
    """How a job is asked for."""

    def connector(self) -> aiohttp.BaseConnector:
        """A way to the app, for one request."""

    def request(self, job: cron_yaml.Job) -> tuple[str, dict[str, str]]:
        """The URL and the headers of a request made now."""


@dataclass(frozen=True)
class AppEngineCron:
    """Goes to the web process itself, past the front door, which is how it may carry X-Appengine-Cron.

    https://cloud.google.com/appengine/docs/standard/scheduling-jobs-with-cron-yaml
    """

    app_socket: str

    def connector(self) -> aiohttp.BaseConnector:
        return aiohttp.UnixConnector(path=self.app_socket)

    def request(self, job: cron_yaml.Job) -> tuple[str, dict[str, str]]:
        headers = {
            "Host": "localhost",
            "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
            "X-Appengine-Cron": "true",
        }
        return f"http://app{job.url}", headers


@dataclass(frozen=True)
class CloudScheduler:
    """Comes through the front door like anybody, with a token.

    https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs#HttpTarget
    """

    url: str  # of the service
    audience: str
    service_account: str
    key_folder: Path

    def connector(self) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector()

    def request(self, job: cron_yaml.Job) -> tuple[str, dict[str, str]]:
        """Raises LookupError: the issuer has no key yet."""
        token = keys.token(
            self.key_folder, audience=self.audience, email=self.service_account, now=time.time()
        )
        headers = {
            "Authorization": f"Bearer {token}",
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": job.url.rpartition("/")[2].partition("?")[0],
            "X-CloudScheduler-ScheduleTime": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return self.url.rstrip("/") + job.url, headers
