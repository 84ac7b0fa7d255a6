"""What the steps of one release know, and leave for those that come after them."""

from dataclasses import dataclass, field
from pathlib import Path

from apps.appengine.deploy.command import Command, command, gcloud
from apps.appengine.deploy.deployment import Deployment
from apps.appengine.deploy.options import Options
from apps.appengine.deploy.plan import Undoing
from apps.appengine.deploy.shell import Shell

PYTHON = ".venv/bin/python"


@dataclass
class Release:
    """One run of the program. What begins with `$` is known to a run only."""

    options: Options
    shell: Shell
    undoing: Undoing
    deployment: Deployment
    version: str = "$VERSION"
    commit: str = "$COMMIT"
    # What takes traffic before: the share of each version, or nothing on the first deployment.
    traffic: dict[str, float] = field(default_factory=dict)
    url: str = "$URL"  # of the new version itself
    service_url: str = ""  # Cloud Run: of the service

    @property
    def project(self) -> str:
        return self.options.project

    @property
    def folder(self) -> Path:
        """Where files of this run lie, out of git and never uploaded."""
        return Path(".local/deploy") / self.project

    @property
    def app_yaml(self) -> Path:
        """app.yaml with what Terraform knows; beside it, since gcloud uploads the folder of the file."""
        return Path(f"app.{self.project}.yaml")

    @property
    def serving(self) -> str:
        """The version with most of the traffic before; empty on the first deployment."""
        return max(self.traffic, key=lambda version: self.traffic[version], default="")

    def gcloud(self, *words: object) -> Command:
        return gcloud(self.project, *words)

    def module(self, name: str, *words: object, output: Path | None = None) -> Command:
        """A module of this program as a command of its own."""
        return command(PYTHON, "-m", f"apps.appengine.deploy.{name}", *words, output=output)

    def manage(self, *words: object, environment: Path | None = None, **variables: str) -> Command:
        """manage.py with the environment that the release will have, and `variables` over it."""
        assigned = [
            f"{name}={value}" for name, value in {"GOOGLE_CLOUD_PROJECT": self.project, **variables}.items()
        ]
        file = environment or self.app_yaml
        return self.module("with_environment", file, *assigned, PYTHON, "manage.py", *words)
