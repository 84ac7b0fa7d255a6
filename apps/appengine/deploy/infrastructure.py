"""Terraform by hand: its state, its plan, its output. Cloud Build gets the output and runs none of it."""

import sys
from pathlib import Path

from apps.appengine.deploy import deployment
from apps.appengine.deploy.command import Command, command
from apps.appengine.deploy.release import Release
from apps.appengine.deploy.shell import FailedError

# What Terraform itself needs before it can enable the rest.
SERVICES = ("cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com", "storage.googleapis.com")


def terraform(*words: object) -> Command:
    return command("terraform", "-chdir=terraform", *words)


def state(release: Release) -> None:
    """Open the project's state, made in a bucket of the project when there is none. Raises FailedError."""
    bucket = f"gs://{release.project}-terraform"
    try:
        release.shell.ask(release.gcloud("storage", "buckets", "describe", bucket, "--format=value(name)"))
    except FailedError:
        make_bucket(release, bucket)
    if release.shell.dry:
        release.shell.say("Where that bucket does not exist:")
        make_bucket(release, bucket)
    release.shell.run(
        terraform(
            "init", "-input=false", "-reconfigure", f"-backend-config=bucket={bucket.removeprefix('gs://')}"
        )
    )
    release.shell.run(terraform("workspace", "select", "-or-create", release.project))


def make_bucket(release: Release, bucket: str) -> None:
    region = region_of(release)
    release.shell.run(release.gcloud("services", "enable", *SERVICES))
    release.shell.run(
        release.gcloud(
            "storage", "buckets", "create", bucket, f"--location={region}",
            "--uniform-bucket-level-access", "--public-access-prevention",
        )
    )  # fmt: skip
    release.shell.run(release.gcloud("storage", "buckets", "update", bucket, "--versioning"))


def apply(release: Release) -> None:
    """Plan, ask, apply. Raises FailedError."""
    shell, plan = release.shell, (release.folder / "terraform.plan").absolute()
    if shell.dry:
        plan = Path("$PWD") / release.folder / "terraform.plan"
    shell.run(command("mkdir", "-p", release.folder))
    planned = terraform("plan", "-input=false", "-detailed-exitcode", *variables(release), f"-out={plan}")
    if shell.run(planned, well=(0, 2)) == 0:
        shell.say("Nothing to change.")
        return
    if not (release.options.yes or shell.dry):
        confirm()
    release.undoing.stays(
        "What Terraform has changed stays: it is described, not released. "
        "`terraform -chdir=terraform plan` shows what it lacks."
    )
    shell.run(terraform("apply", "-input=false", plan))
    shell.run(command("rm", "-f", plan))  # it may hold values that the state protects


def variables(release: Release) -> list[str]:
    """The project's own values stand in terraform/PROJECT.tfvars, where there is one."""
    name = f"{release.project}.tfvars"
    own = [f"-var-file={name}"] if (Path("terraform") / name).exists() else []
    return [
        *own,
        f"-var=project={release.project}",
        f"-var=target={release.options.target}",
        *region(release, own),
    ]


def region(release: Release, own: list[str]) -> list[str]:
    return [] if own and not release.options.region else [f"-var=region={region_of(release)}"]


def region_of(release: Release) -> str:
    """Raises FailedError where nobody said it."""
    if release.options.region or release.shell.dry:
        return release.options.region or "$REGION"
    raise FailedError(
        "REGION is not set: name where everything shall be, as in `make deploy PROJECT=... "
        f"REGION=europe-west1`, or write it into terraform/{release.project}.tfvars."
    )


def confirm() -> None:
    """Raises FailedError unless a person types yes."""
    if not sys.stdin.isatty():
        raise FailedError("Terraform would change something, and nobody is here to agree: say YES=1.")
    if input("Apply this plan? Type yes: ").strip() != "yes":
        raise FailedError("The plan was not agreed to.")


def read(release: Release) -> None:
    """Learn what there is, and keep it in a file for the steps that read it. Raises FailedError."""
    file = release.folder / "deployment.json"
    given = release.options.deployment
    text = given or release.shell.ask(terraform("output", "-json", "deployment"), variable="DEPLOYMENT")
    if text.startswith("$"):
        release.shell.show(f"REGION={release.options.region or '...'}  # the region in it")
    else:
        release.deployment = deployment.parse(text, release.project)
    release.shell.write(file, text)
