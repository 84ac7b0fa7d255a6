"""The files of the version that serves, out of git, to be uploaded again if the release fails."""

from apps.appengine.deploy import version
from apps.appengine.deploy.command import command
from apps.appengine.deploy.release import Release
from apps.appengine.deploy.shell import FailedError

FILES = ("queue.yaml", "cron.yaml")


def fetch(release: Release) -> None:
    """Put the files of the version that serves into the folder `before`."""
    if release.serving:
        fetch_of(release, release.serving, "before")
    else:
        release.shell.run(command("rm", "-rf", release.folder / "before"))
        release.shell.say("Nothing serves yet: there is nothing to go back to.")


def fetch_of(release: Release, name: str, into: str) -> None:
    """Put the files of a version's commit into a folder; say so where nobody knows the commit."""
    shell, folder = release.shell, release.folder / into
    shell.run(command("rm", "-rf", folder))
    commit = f"$COMMIT_{into.upper()}" if shell.dry else version.commit(name)
    if not commit:
        shell.say(f"{name} does not name its commit, so its queue.yaml and cron.yaml are not known.")
        return
    if shell.dry:
        shell.show(f'COMMIT_{into.upper()}="${{{name.removeprefix("$")}##*-}}"  # the end of its name')
    shell.run(command("mkdir", "-p", folder))
    try:
        for file in FILES:
            shell.run(command("git", "show", f"{commit}:{file}", output=folder / file))
    except FailedError:
        shell.run(command("rm", "-rf", folder))
        shell.say(f"The commit {commit} is not in this clone, so the files of {name} are not known.")


def has(release: Release, name: str, folder: str = "before") -> bool:
    """Whether the file of that version is there to go back to."""
    return release.shell.dry or (release.folder / folder / name).exists()
