"""The plan of a release on App Engine."""

import tempfile
from functools import partial
from typing import Any

from apps.appengine.deploy import (
    begin,
    history,
    queues,
    smoke_task,
    version,
    watch,
)
from apps.appengine.deploy.command import command, listed
from apps.appengine.deploy.plan import Step
from apps.appengine.deploy.release import Release

KEPT = 3  # versions before this one that can be gone back to


def plan(release: Release) -> list[Step]:
    """Every step, in order."""
    steps = begin.steps(release)
    steps += [
        ("before", "what serves now is what a failure goes back to", look),
        ("queue-guard", "uploading queue.yaml pauses queues it omits, and resumes paused ones", queues.guard),
        ("app-yaml", "app.yaml plus what only this project knows", render),
        ("static", "static files with hashes in their names, collected without production secrets", collect),
        ("check", "app.yaml, queue.yaml, cron.yaml and settings must fit together", check),
        ("indexes", "the new version's queries need their indexes; more of them harm nobody", make_indexes),
        ("queues", "the new version's queues must be there before it is", upload_queues),
        ("version", "the new version runs beside the old one and gets no traffic", deploy),
        ("migrate", "expand/contract: what migrations add does not disturb the old version", migrate),
        ("smoke", "the new version must answer, and reach every store, before anybody else asks it", smoke),
        ("promote", "a small share first, then all traffic, watched each time", promote),
        ("cron", "the schedule is the last to change: it calls what now serves", upload_cron),
        ("clean-up", f"versions that never will be gone back to; {KEPT} stay", clean_up),
    ]  # fmt: skip
    return [Step(name, why, partial(do, release)) for name, why, do in steps]


def versions(release: Release) -> list[dict[str, Any]]:
    """The versions of the default service. (--service would fail where there is none yet.)"""
    answer = release.shell.ask_json(release.gcloud("app", "versions", "list", "--format=json"), unknown=[])
    return [one for one in answer or [] if one["service"] == "default"]


def look(release: Release) -> None:
    """Which version serves, and its files."""
    release.traffic = {one["id"]: one["traffic_split"] for one in versions(release) if one["traffic_split"]}
    if release.shell.dry:
        release.shell.say("BEFORE is the version with traffic in that answer; there is none at first.")
        release.traffic = {"$BEFORE": 1.0}
    history.fetch(release)


def render(release: Release) -> None:
    source = release.folder / "deployment.json"
    release.shell.run(release.module("rendered", "appengine", source, output=release.app_yaml))


def collect(release: Release) -> None:
    release.shell.run(release.manage("collectstatic", "--clear", "--no-input", BUILD_MODE="1"))
    copy_static(release)


def copy_static(release: Release) -> None:
    """Where a bucket serves static files. Nothing is deleted there: the version before names its own."""
    if bucket := release.deployment.environment.get("STATIC_BUCKET"):
        forever = "--cache-control=public, max-age=31536000, immutable"
        words = ["storage", "cp", "--recursive", forever, "static_root/*", f"gs://{bucket}/"]
        release.shell.run(release.gcloud(*words))


def check(release: Release) -> None:
    release.shell.run(
        release.manage(
            "check", "--deploy", "--fail-level", "WARNING", BUILD_MODE="1", APP_YAML=str(release.app_yaml)
        )
    )


def make_indexes(release: Release) -> None:
    release.undoing.stays("New indexes stay: they harm nobody, and the next attempt needs them.")
    release.shell.run(release.gcloud("datastore", "indexes", "create", "index.yaml"))
    release.shell.run(release.module("indexes", release.project))


def upload(release: Release, name: str) -> None:
    """Upload queue.yaml or cron.yaml; if it comes to that, the file of the version before."""
    old = release.folder / "before" / name
    if history.has(release, name):
        release.undoing.later(
            f"{name} is that of {release.serving} again",
            lambda: release.shell.run(release.gcloud("app", "deploy", old)),
        )
    else:
        release.undoing.stays(
            f"{name} stays that of {release.version}: no file of a version before is known."
        )
    release.shell.run(release.gcloud("app", "deploy", name))


def upload_queues(release: Release) -> None:
    upload(release, "queue.yaml")


def upload_cron(release: Release) -> None:
    upload(release, "cron.yaml")
    release.undoing.settle()


def deploy(release: Release) -> None:
    if release.serving:
        release.undoing.later(
            f"version {release.version} is deleted; Cloud Logging keeps what it said: gcloud logging read "
            f"'resource.labels.version_id=\"{release.version}\"' --project={release.project}",
            partial(delete, release),
        )
    else:
        release.undoing.stays(f"Version {release.version} stays: App Engine cannot be without one.")
    promote_not = ["--no-promote", f"--version={release.version}"]
    release.shell.run(release.gcloud("app", "deploy", release.app_yaml, *promote_not))
    describe = ["app", "versions", "describe", release.version, "--service=default"]
    release.url = release.shell.ask(release.gcloud(*describe, "--format=value(versionUrl)"), variable="URL")


def delete(release: Release) -> None:
    """Delete the new version, if it came to be."""
    if release.shell.dry or any(one["id"] == release.version for one in versions(release)):
        words = ["app", "versions", "delete", release.version, "--service=default"]
        release.shell.run(release.gcloud(*words))


def migrate(release: Release) -> None:
    """Through the Auth Proxy, as the person or the account that deploys."""
    restore_point(release)
    release.undoing.stays(
        "Migrations that ran stay: the version before works with them (expand/contract). "
        "docs/operations.md says how to restore the database."
    )
    with tempfile.TemporaryDirectory(prefix="sql-") as folder:  # a socket's address has 108 bytes at most
        sockets = "$SOCKETS" if release.shell.dry else folder
        if release.shell.dry:
            release.shell.show("SOCKETS=$(mktemp -d)")
        instance = release.deployment.instance_connection_name
        proxy = [
            "cloud-sql-proxy",
            f"--unix-socket={sockets}",
            "--health-check",
            "--http-port=9090",
            instance,
        ]
        with release.shell.beside(command(*proxy)):
            release.shell.run(command("cloud-sql-proxy", "wait", "--http-port=9090", "--max=60s"))
            release.shell.run(
                release.manage(
                    "migrate", "--no-input", CLOUD_SQL_SOCKETS=sockets, INSTANCE_CONNECTION_NAME=instance
                )
            )


def restore_point(release: Release) -> None:
    """A moment, or a backup, that the database can be put back to."""
    shell, name = release.shell, release.deployment.sql_instance
    enabled = "settings.backupConfiguration.pointInTimeRecoveryEnabled"
    answer = shell.ask(
        release.gcloud("sql", "instances", "describe", name, f"--format=value({enabled})"),
        variable="RECOVERY",
    )
    recoverable = answer == "True" or shell.dry
    if recoverable:
        now = shell.ask(command("date", "-u", "+%Y-%m-%dT%H:%M:%SZ"), variable="NOW")
        clone = release.gcloud(
            "sql", "instances", "clone", name, f"{name}-restored", f"--point-in-time={now}"
        )
        shell.say(f"The database as it is now can be had with: {clone}")
    if not recoverable or release.options.backup:
        words = ["sql", "backups", "create", f"--instance={name}", f"--description=before {release.version}"]
        shell.run(release.gcloud(*words))


def smoke(release: Release) -> None:
    """HTTP from here, and one task that asks every store from inside the new version."""
    words = [release.url, release.version, f"--page={release.options.smoke_page}"]
    release.shell.run(release.module("smoke", *words))
    routing = f"--routing=service:default,version:{release.version}"
    smoke_task.run(release, "create-app-engine-task", f"--relative-uri={smoke_task.PATH}", routing)


def set_traffic(release: Release, shares: dict[str, float]) -> None:
    """By cookie, so that a browser gets a page and its static files from one version."""
    splits = listed({name: f"{share:g}" for name, share in shares.items()})
    words = ["app", "services", "set-traffic", "default", f"--splits={splits}", "--split-by=cookie"]
    release.shell.run(release.gcloud(*words))


def promote(release: Release) -> None:
    if before := release.traffic:
        told = ", ".join(f"{name} ({share:.0%})" for name, share in before.items())
        release.undoing.later(f"the traffic goes to {told}", lambda: set_traffic(release, before))
    first = release.options.first_share
    first = 10 if first is None else first
    if before and 0 < first < 100:
        old = {name: round(share * (100 - first) / 100, 2) for name, share in before.items()}
        set_traffic(release, {release.version: first / 100, **old})
        observe(release)
    set_traffic(release, {release.version: 1})
    observe(release)


def observe(release: Release) -> None:
    resource = f'resource.type="gae_app" AND resource.labels.version_id="{release.version}"'
    watch.run(release, f"{release.url}/readyz", resource)


def clean_up(release: Release) -> None:
    """Only versions that this program made: others are somebody's."""
    idle = [one["id"] for one in versions(release) if not one["traffic_split"]]
    ours = sorted(filter(version.is_ours, idle), key=version.age_key, reverse=True)
    old = ours[KEPT:]
    if release.shell.dry:
        release.shell.say(f"OLD are the versions of this program without traffic, but for the last {KEPT}.")
        old = ["$OLD"]
    if old:
        words = ["app", "versions", "delete", *old, "--service=default"]
        release.shell.run(release.gcloud(*words))
