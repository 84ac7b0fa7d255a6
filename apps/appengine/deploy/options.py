"""What `make deploy` and `make rollback` can be told, each as an environment variable."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.appengine.deploy.shell import FailedError

PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")

# Every variable, with what it does. docs/deploy.md has the same table; a test compares them.
VARIABLES = {
    "PROJECT": "the id of the Google Cloud project",
    "TARGET": "`appengine` (default) or `cloudrun`",
    "REGION": "the region, for the first deployment: `europe-west1`",
    "DRY_RUN": "`1` prints the plan and runs nothing",
    "YES": "`1` applies Terraform's plan without asking",
    "TERRAFORM": "`0` leaves the infrastructure as it is",
    "DEPLOYMENT": "the JSON of `terraform output -json deployment`; Terraform is then not used at all",
    "SKIP_TESTS": "`1` runs neither `make check` nor `make test`",
    "DIRTY": "`1` deploys with changes that are not committed",
    "DISABLE_QUEUES": "queues that may be paused because queue.yaml lists them no more, by commas",
    "RESUME_QUEUES": "paused queues that may be resumed by the upload of queue.yaml, by commas",
    "BACKUP": "`1` makes a backup of the database before migrations, beside point-in-time recovery",
    "FIRST_SHARE": "percent of the traffic for the new version before it gets all; `0` for none",
    "SETTLE": "seconds to watch the new version, after the first share and after all traffic",
    "ALLOWED_ERRORS": "server errors of the new version that are borne while it is watched",
    "SMOKE_PAGE": "the page that the smoke step asks for",
    "VERSION": "`make rollback`: the version to go back to, instead of the one before",
    "BUILDER": "Cloud Run: `cloudbuild` (default) or `docker` builds the image",
    "CPU": "Cloud Run: processors of an instance",
    "MEMORY": "Cloud Run: memory of an instance",
    "CONCURRENCY": "Cloud Run: requests at once in an instance",
    "MIN_INSTANCES": "Cloud Run: instances that always run",
    "MAX_INSTANCES": "Cloud Run: instances at most",
}


@dataclass(frozen=True)
class Options:
    """See VARIABLES. `first_share` is None where the target decides."""

    project: str
    target: str = "appengine"
    region: str = ""
    dry_run: bool = False
    yes: bool = False
    terraform: bool = True
    deployment: str = ""
    skip_tests: bool = False
    dirty: bool = False
    disable_queues: frozenset[str] = frozenset()
    resume_queues: frozenset[str] = frozenset()
    backup: bool = False
    first_share: int | None = None
    settle: int = 60
    allowed_errors: int = 3
    smoke_page: str = "/sign-in"
    version: str = ""
    builder: str = "cloudbuild"
    cpu: str = "1"
    memory: str = "512Mi"
    concurrency: int = 31  # one under the threads, as in app.yaml
    min_instances: int = 0
    max_instances: int = 3


def read(environ: Mapping[str, str]) -> Options:
    """Raises FailedError naming the variable."""
    given = {name: environ[name].strip() for name in VARIABLES if environ.get(name, "").strip()}
    if not PROJECT.fullmatch(given.get("PROJECT", "")):
        raise FailedError(
            f"PROJECT is {given.get('PROJECT', '')!r}: name a Google Cloud project, "
            "as in `make deploy PROJECT=my-project`."
        )
    values: dict[str, Any] = {name.lower(): parsed(name, value) for name, value in given.items()}
    return Options(**values)


def parsed(name: str, value: str) -> object:
    """The value in its type: that of the field's default."""
    if name in CHOICES:
        return one_of(name, value)
    default = Options.__dataclass_fields__[name.lower()].default
    if isinstance(default, bool):
        if value not in {"0", "1"}:
            raise FailedError(f"{name} is {value!r}: 1 or 0 was expected.")
        return value == "1"
    if isinstance(default, int) or default is None:
        if not value.isdecimal():
            raise FailedError(f"{name} is {value!r}: a whole number was expected.")
        return int(value)
    if isinstance(default, frozenset):
        return frozenset(filter(None, re.split(r"[,\s]+", value)))
    return value


CHOICES = {"TARGET": ("appengine", "cloudrun"), "BUILDER": ("cloudbuild", "docker")}


def one_of(name: str, value: str) -> str:
    if value not in CHOICES[name]:
        raise FailedError(f"{name} is {value!r}: {' or '.join(CHOICES[name])} was expected.")
    return value
