"""The plan of a release on Cloud Run: the same path, with a container, a service and a job."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from apps.appengine.deploy import (
    app_engine,
    begin,
    cloud_scheduler,
    cloud_tasks,
    history,
    queues,
    smoke_task,
    version,
    watch,
)
from apps.appengine.deploy.command import command, listed
from apps.appengine.deploy.plan import Step
from apps.appengine.deploy.release import Release

SERVICE = "web"
JOB = "migrate"
TAG = "candidate"  # the address of a revision that takes no traffic; CLOUD_RUN_TAGS tells settings of it
KEPT = 3
# ProbeMiddleware answers these: paths that end in z are Google's on Cloud Run.
STARTUP = "httpGet.path=/warmup,httpGet.port=8080,timeoutSeconds=30,periodSeconds=30,failureThreshold=4"
LIVENESS = "httpGet.path=/health,httpGet.port=8080,timeoutSeconds=10,periodSeconds=30,failureThreshold=3"


def plan(release: Release) -> list[Step]:
    """Every step, in order."""
    steps = begin.steps(release)
    steps += [
        ("before", "what serves now is what a failure goes back to", look),
        ("queue-guard", "queues that queue.yaml omits are paused, and paused ones resumed", queues.guard),
        ("environment", "the variables of app.yaml plus what only this project knows", render),
        ("check", "queue.yaml, cron.yaml and settings must fit together", check),
        ("image", "one image holds the code, its dependencies and its static files", build),
        ("indexes", "the new revision's queries need them; more harm nobody", app_engine.make_indexes),
        ("queues", "the new revision's queues must be there before it is", cloud_tasks.upload),
        ("migrate", "expand/contract: what migrations add does not disturb the old revision", migrate),
        ("revision", "the new revision runs beside the old one and gets no traffic", deploy),
        ("smoke", "the new revision must answer, and reach every store, before anybody else asks it", smoke),
        ("promote", "the traffic moves, watched", promote),
        ("cron", "the schedule is the last to change: it calls what now serves", upload_cron),
        ("mark", "a tag of its own tells a revision that served from one that failed", mark),
        ("clean-up", f"the names of revisions that never will be gone back to; {KEPT} stay", clean_up),
    ]  # fmt: skip
    return [Step(name, why, partial(do, release)) for name, why, do in steps]


def revision(name: str) -> str:
    """The revision that a version of ours is."""
    return f"{SERVICE}-{name}"


def service(release: Release) -> dict[str, Any]:
    """What Cloud Run says of the service; nothing where there is none yet."""
    words = ["run", "services", "list", f"--region={release.deployment.region}"]
    query = release.gcloud(*words, f"--filter=metadata.name={SERVICE}", "--format=json")
    found = release.shell.ask_json(query, unknown=[])
    return dict(found[0]) if found else {}


def traffic_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    return list(found.get("status", {}).get("traffic", []))


def look(release: Release) -> None:
    """Which revisions serve, by the name of their version, and the files of the first."""
    shares: dict[str, float] = {}
    for one in traffic_of(service(release)):
        if percent := one.get("percent"):
            name = one["revisionName"].removeprefix(f"{SERVICE}-")
            shares[name] = shares.get(name, 0) + percent / 100
    release.traffic = shares
    if release.shell.dry:
        release.shell.say(f"BEFORE is the revision with traffic in that answer, without `{SERVICE}-`.")
        release.traffic = {"$BEFORE": 1.0}
    history.fetch(release)


def service_url(release: Release) -> str:
    """The one of its two names that is known before there is a service, and never changes: tasks in the
    queue carry it as their audience. https://cloud.google.com/run/docs/triggering/https-request
    """
    if known := release.service_url or release.deployment.environment.get("TASKS_URL"):
        return known
    describe = release.gcloud("projects", "describe", release.project, "--format=value(projectNumber)")
    number = release.shell.ask(describe, variable="NUMBER")
    release.service_url = f"https://{SERVICE}-{number}.{release.deployment.region}.run.app"
    return release.service_url


def tagged(answered: str, url: str) -> str:
    """The address of the tag, under the name of the service that settings know."""
    return url.replace("://", f"://{TAG}---", 1) if answered.endswith(".run.app") else answered


def environment_file(release: Release) -> Path:
    return release.folder / "environment.yaml"


def render(release: Release) -> None:
    told = [f"--url={service_url(release)}", f"--tag={TAG}"]
    source = release.folder / "deployment.json"
    file = environment_file(release)
    release.shell.run(release.module("rendered", "cloudrun", source, *told, output=file))


def check(release: Release) -> None:
    file = environment_file(release)
    release.shell.run(
        release.manage("check", "--deploy", "--fail-level", "WARNING", environment=file, BUILD_MODE="1")
    )
    if release.deployment.environment.get("STATIC_BUCKET"):
        collect = ["collectstatic", "--clear", "--no-input"]
        release.shell.run(release.manage(*collect, environment=file, BUILD_MODE="1"))
        app_engine.copy_static(release)


def image(release: Release) -> str:
    return f"{release.deployment.repository}/{SERVICE}:{release.version}"


def build(release: Release) -> None:
    """In Cloud Build as the account `deploy`, or by docker on this machine."""
    if release.options.builder == "docker":
        registry = release.deployment.repository.partition("/")[0]
        release.shell.run(release.gcloud("auth", "configure-docker", registry))
        release.shell.run(
            command("docker", "build", f"--tag={image(release)}", "--platform=linux/amd64", ".")
        )
        release.shell.run(command("docker", "push", image(release)))
        return
    config, ignored = release.folder / "build.json", release.folder / "build.ignore"
    release.shell.write(config, json.dumps(build_config(release)))
    # .gcloudignore says what App Engine gets; the image needs what .dockerignore lets through.
    release.shell.write(ignored, Path(".dockerignore").read_text() + "!Dockerfile\n!.dockerignore\n")
    words = ["builds", "submit", ".", f"--config={config}", f"--ignore-file={ignored}"]
    release.shell.run(release.gcloud(*words, f"--region={release.deployment.region}"))


def build_config(release: Release) -> dict[str, Any]:
    """One step, as the account of the deployment, with its log where that account may write."""
    account = release.deployment.deploy_service_account
    return {
        "steps": [
            {"name": "gcr.io/cloud-builders/docker", "args": ["build", f"--tag={image(release)}", "."]}
        ],
        "images": [image(release)],
        "serviceAccount": f"projects/{release.project}/serviceAccounts/{account}",
        "options": {"logging": "CLOUD_LOGGING_ONLY"},
    }


def common(release: Release) -> list[str]:
    """What the service and the job have in common."""
    deployment = release.deployment
    connector = [f"--vpc-connector={deployment.vpc_connector}"] if deployment.vpc_connector else []
    return [
        f"--image={image(release)}",
        f"--region={deployment.region}",
        f"--service-account={deployment.service_account}",
        f"--env-vars-file={environment_file(release)}",
        f"--set-cloudsql-instances={deployment.instance_connection_name}",
        *connector,
    ]


def migrate(release: Release) -> None:
    """By a job of Cloud Run, with the image and the account of the service."""
    app_engine.restore_point(release)
    release.undoing.stays(
        "Migrations that ran stay: the version before works with them (expand/contract). "
        "docs/operations.md says how to restore the database."
    )
    program = [
        "--command=python",
        "--args=manage.py,migrate,--no-input",
        "--max-retries=0",
        "--task-timeout=1h",
    ]
    release.shell.run(release.gcloud("run", "jobs", "deploy", JOB, *common(release), *program))
    place = f"--region={release.deployment.region}"
    release.shell.run(release.gcloud("run", "jobs", "execute", JOB, place, "--wait"))


def deploy(release: Release) -> None:
    options = release.options
    release.undoing.stays(
        f"Revision {revision(release.version)} stays, without traffic and without cost: Cloud Run does not "
        "delete the latest one."
    )
    # Cloud Run refuses --no-traffic for a service that is not there yet.
    without = ["--no-traffic"] if release.serving else []
    told = [f"--tag={TAG}", f"--revision-suffix={release.version}", "--allow-unauthenticated"]
    size = [
        f"--cpu={options.cpu}", f"--memory={options.memory}", f"--concurrency={options.concurrency}",
        f"--min={options.min_instances}", f"--max-instances={options.max_instances}", "--timeout=600",
        f"--startup-probe={STARTUP}", f"--liveness-probe={LIVENESS}",
    ]  # fmt: skip
    release.shell.run(release.gcloud("run", "deploy", SERVICE, *common(release), *without, *told, *size))
    urls = {one.get("tag"): one.get("url", "") for one in traffic_of(service(release))}
    if release.shell.dry:
        release.shell.say(f"URL is the address of the tag {TAG} in that answer.")
        release.url = "$URL"
    else:
        release.url = tagged(urls[TAG], service_url(release))


def smoke(release: Release) -> None:
    """HTTP from here, and one task with a token, sent to the revision's own address."""
    words = [release.url, release.version, f"--page={release.options.smoke_page}"]
    release.shell.run(release.module("smoke", *words))
    account = release.deployment.tasks_service_account
    smoke_task.run(
        release,
        "create-http-task",
        f"--url={release.url}{smoke_task.PATH}",
        f"--oidc-service-account-email={account}",
        f"--oidc-token-audience={service_url(release)}",
    )


def set_traffic(release: Release, shares: dict[str, float]) -> None:
    percents = listed({revision(name): round(share * 100) for name, share in shares.items()})
    place = f"--region={release.deployment.region}"
    release.shell.run(
        release.gcloud("run", "services", "update-traffic", SERVICE, f"--to-revisions={percents}", place)
    )


def promote(release: Release) -> None:
    """All at once unless static files are in a bucket.

    Cloud Run draws lots for each request, so a page of one revision would ask the other one for its style
    sheet. FIRST_SHARE says otherwise.
    """
    if before := release.traffic:
        told = ", ".join(f"{name} ({share:.0%})" for name, share in before.items())
        release.undoing.later(f"the traffic goes to {told}", lambda: set_traffic(release, before))
    first = release.options.first_share
    if first is None:
        first = 10 if release.deployment.environment.get("STATIC_BUCKET") else 0
    if before and 0 < first < 100:
        old = {name: share * (100 - first) / 100 for name, share in before.items()}
        set_traffic(release, {release.version: first / 100, **old})
        observe(release)
    set_traffic(release, {release.version: 1})
    observe(release)


def observe(release: Release) -> None:
    name = revision(release.version)
    resource = f'resource.type="cloud_run_revision" AND resource.labels.revision_name="{name}"'
    watch.run(release, f"{release.url}/ready", resource)


def upload_cron(release: Release) -> None:
    cloud_scheduler.upload(release, service_url(release))
    release.undoing.settle()


def update_tags(release: Release, flag: str) -> None:
    place = f"--region={release.deployment.region}"
    release.shell.run(release.gcloud("run", "services", "update-traffic", SERVICE, place, flag))


def mark(release: Release) -> None:
    """What `make rollback` looks for."""
    update_tags(release, f"--update-tags={release.version}={revision(release.version)}")


def clean_up(release: Release) -> None:
    """Cloud Run keeps revisions itself, at no cost; without its tag one is no more gone back to."""
    tags = [one["tag"] for one in traffic_of(service(release)) if version.is_ours(one.get("tag", ""))]
    old = sorted(set(tags) - {release.version}, key=version.age_key, reverse=True)[KEPT:]
    if release.shell.dry:
        release.shell.say(f"OLD are the tags of versions in that answer, but for the last {KEPT}.")
        old = ["$OLD"]
    if old:
        update_tags(release, f"--remove-tags={listed(old)}")
