"""The plan to go back to a version that served before: its queues, the traffic, its cron jobs."""

from collections.abc import Callable
from functools import partial

from apps.appengine.deploy import (
    app_engine,
    cloud_run,
    cloud_scheduler,
    cloud_tasks,
    history,
    infrastructure,
    version,
)
from apps.appengine.deploy.begin import Named
from apps.appengine.deploy.command import command
from apps.appengine.deploy.plan import Step
from apps.appengine.deploy.release import Release
from apps.appengine.deploy.shell import FailedError

type Do = Callable[[Release], None]


def app_engine_plan(release: Release) -> list[Step]:
    return plan(release, [], choose_version, app_engine.set_traffic, put_queues, put_cron)


def cloud_run_plan(release: Release) -> list[Step]:
    """Region and accounts are Terraform's to say."""
    first: list[Named] = [("deployment", "region and accounts are Terraform's output", infrastructure.read)]
    if not release.options.deployment:
        first.insert(0, ("state", "Terraform keeps in a bucket what it has made", infrastructure.state))
    return plan(release, first, choose_revision, cloud_run.set_traffic, put_cloud_tasks, put_cloud_scheduler)


def plan(
    release: Release,
    first: list[Named],
    choose: Do,
    set_traffic: Callable[[Release, dict[str, float]], None],
    queues: Do,
    cron: Do,
) -> list[Step]:
    """The same order for both targets. Migrations stay: the version before works with them."""
    steps: list[Named] = [
        *first,
        ("versions", "what serves now, and what served before", choose),
        ("files", "the queues and the schedule of a version are those of its commit", fetch),
        ("queues", "they must run before the traffic comes; newer ones are paused, tasks kept", queues),
        ("traffic", "everybody is served by the version before", partial(move, set_traffic=set_traffic)),
        ("cron", "the schedule calls what now serves", partial(last, do=cron)),
    ]
    return [Step(name, why, partial(do, release)) for name, why, do in steps]


def choose_version(release: Release) -> None:
    found = app_engine.versions(release)
    traffic = {one["id"]: float(one["traffic_split"]) for one in found}
    choose(release, traffic)


def choose_revision(release: Release) -> None:
    traffic: dict[str, float] = {}
    for one in cloud_run.traffic_of(cloud_run.service(release)):
        name = one.get("revisionName", "").removeprefix(f"{cloud_run.SERVICE}-")
        if one.get("percent") or one.get("tag") == name:  # a tag of its own: it was promoted
            traffic[name] = traffic.get(name, 0) + one.get("percent", 0) / 100
    choose(release, traffic)


def choose(release: Release, shares: dict[str, float]) -> None:
    """Go from what serves to VERSION, or to the newest that is older. Raises FailedError."""
    release.traffic = {name: share for name, share in shares.items() if share}
    for name in sorted(shares, key=version.age_key):
        release.shell.say(f"{name}: {shares[name]:.0%} of the traffic")
    release.version = chosen(shares, release.serving, release.options.version)
    if release.shell.dry:
        release.shell.say("SERVING has traffic in that answer; VERSION is the newest of the older ones.")
        release.traffic, release.version = {"$SERVING": 1.0}, release.options.version or "$VERSION"
    elif not release.version:
        raise FailedError("There is no version to go back to, or VERSION is none of those above.")
    release.shell.say(f"Back to {release.version}.")


def chosen(shares: dict[str, float], serving: str, wanted: str) -> str:
    """Empty when there is none."""
    if wanted:
        return wanted if wanted in shares else ""
    older = [
        name for name in shares if version.is_ours(name) and version.age_key(name) < version.age_key(serving)
    ]
    return max(older, key=version.age_key, default="")


def fetch(release: Release) -> None:
    """The files of both: of the one to go back to, and of the one that serves, should this fail."""
    history.fetch(release)
    history.fetch_of(release, release.version, "after")


def put(release: Release, name: str) -> None:
    """Upload a file of the version to go back to; should this fail, that of the one that served."""
    new, old = (release.folder / folder / name for folder in ("after", "before"))
    if not history.has(release, name, "after"):
        release.undoing.stays(f"{name} is as it was: the commit of {release.version} is not known here.")
        release.shell.say(f"{name} is left as it is: the commit of {release.version} is not known here.")
        return
    if history.has(release, name):
        release.undoing.later(
            f"{name} is that of {release.serving} again",
            lambda: release.shell.run(release.gcloud("app", "deploy", old)),
        )
    release.shell.run(release.gcloud("app", "deploy", new))


def put_queues(release: Release) -> None:
    put(release, "queue.yaml")


def put_cron(release: Release) -> None:
    put(release, "cron.yaml")


def put_cloud_tasks(release: Release) -> None:
    cloud_tasks.upload(release, folder="after")


def put_cloud_scheduler(release: Release) -> None:
    cloud_scheduler.upload(release, cloud_run.service_url(release), folder="after")


def move(release: Release, set_traffic: Callable[[Release, dict[str, float]], None]) -> None:
    before = release.traffic
    release.undoing.later(f"the traffic goes to {release.serving}", lambda: set_traffic(release, before))
    set_traffic(release, {release.version: 1})


def last(release: Release, do: Do) -> None:
    do(release)
    release.undoing.settle()
    release.shell.run(command("rm", "-rf", release.folder / "after"))
