"""Everything that can be found missing before anything is done."""

import shutil
from datetime import UTC, datetime

from apps.appengine.deploy import version
from apps.appengine.deploy.command import command
from apps.appengine.deploy.release import Release
from apps.appengine.deploy.shell import FailedError

TOOLS = {
    "git": "https://git-scm.com/downloads",
    "gcloud": "https://cloud.google.com/sdk/docs/install",
    "terraform": "https://developer.hashicorp.com/terraform/install (or TERRAFORM=0 and DEPLOYMENT=...)",
    "cloud-sql-proxy": "https://github.com/GoogleCloudPlatform/cloud-sql-proxy/releases, version 2",
    "docker": "https://docs.docker.com/engine/install (or BUILDER=cloudbuild)",
}


def check(release: Release) -> None:
    """Raises FailedError: a tool, an account, a project or a commit is missing."""
    tools(release)
    tree(release)
    account(release)


def tools(release: Release) -> None:
    needed = ["git", "gcloud"]
    needed += [] if release.options.deployment else ["terraform"]
    needed += ["cloud-sql-proxy"] if release.options.target == "appengine" else []
    needed += (
        ["docker"] if (release.options.target, release.options.builder) == ("cloudrun", "docker") else []
    )
    if release.shell.dry:
        release.shell.say(f"Needs on PATH: {', '.join(needed)}.")
        return
    missing = [f"{tool} is missing: {TOOLS[tool]}" for tool in needed if not shutil.which(tool)]
    if missing:
        raise FailedError(". ".join(missing))


def tree(release: Release) -> None:
    """Name the version after the commit. What is not committed would be in no rollback."""
    shell, dirty = release.shell, release.options.dirty
    changes = shell.ask(command("git", "status", "--porcelain"))
    if changes and not dirty:
        raise FailedError(
            f"These files are not committed, so nobody could tell later what was deployed:\n{changes}\n"
            "Commit or stash them, or say DIRTY=1."
        )
    release.commit = shell.ask(command("git", "rev-parse", "--short=10", "HEAD"), variable="COMMIT")
    if shell.dry:
        shell.show('VERSION="v$(date -u +%Y%m%dt%H%M%S)-$COMMIT"')
        return
    release.version = version.name(datetime.now(UTC), release.commit, dirty=bool(changes))
    shell.say(f"This will be version {release.version}.")


def account(release: Release) -> None:
    shell = release.shell
    query = release.gcloud("auth", "list", "--filter=status:ACTIVE", "--format=value(account)")
    if not shell.ask(query, variable="ACCOUNT"):
        raise FailedError("gcloud has no account: `gcloud auth login`.")
    if release.options.deployment:  # Cloud Build's account need not see the project
        return
    shell.ask(release.gcloud("projects", "describe", release.project, "--format=value(projectId)"))
    if release.options.target == "appengine":
        try:
            shell.ask(release.gcloud("auth", "application-default", "print-access-token"))
        except FailedError as error:
            raise FailedError(
                "Migrations and the proxy use application default credentials, and there are none: "
                "`gcloud auth application-default login`."
            ) from error
