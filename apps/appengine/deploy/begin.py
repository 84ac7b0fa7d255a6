"""How every release begins, on either target."""

from collections.abc import Callable

from apps.appengine.deploy import infrastructure, preflight
from apps.appengine.deploy.command import command
from apps.appengine.deploy.release import Release

type Named = tuple[str, str, Callable[[Release], None]]  # a step's name, why, and what it does


def steps(release: Release) -> list[Named]:
    """Up to the tests. With DEPLOYMENT, as Cloud Build has it, Terraform is left alone."""
    found: list[Named] = [("preflight", "what is missing is found before anything is done", preflight.check)]
    if not release.options.deployment:
        found.append(("state", "Terraform keeps in a bucket what it has made", infrastructure.state))
        if release.options.terraform:
            found.append(
                ("infrastructure", "what the release needs is described in terraform/", infrastructure.apply)
            )
    found.append(("deployment", "region, accounts and names are Terraform's output", infrastructure.read))
    if not release.options.skip_tests:
        found.append(("tests", "only what passes is released", run_tests))
    return found


def run_tests(release: Release) -> None:
    release.shell.run(command("make", "check"))
    release.shell.run(command("make", "test"))
