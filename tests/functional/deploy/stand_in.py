"""The program behind every stand-in of cloud.py. Runs with -S -E: the standard library only, quickly."""

import fcntl
import json
import os
import re
import signal
import sys
import time

HOME = os.environ["STAND_IN"]
name, *words = sys.argv[1:]

# The flags of each call of the program, and no others.
GCLOUD = {"--project", "--quiet", "--format", "--location", "--region", "--service", "--queue"}
FLAGS = {
    "auth": {"--filter"},
    "app deploy": {"--no-promote", "--version"},
    "app services": {"--splits", "--split-by"},
    "storage": {"--uniform-bucket-level-access", "--public-access-prevention", "--versioning"},
    "tasks queues": {
        "--max-dispatches-per-second", "--max-concurrent-dispatches", "--max-attempts", "--max-doublings",
        "--max-retry-duration", "--min-backoff", "--max-backoff",
    },
    "tasks": {
        "--method", "--relative-uri", "--routing", "--header", "--body-file", "--url",
        "--oidc-service-account-email", "--oidc-token-audience",
    },
    "sql": {"--instance", "--description"},
    "logging": {"--limit"},
    "scheduler": {
        "--schedule", "--time-zone", "--uri", "--http-method", "--oidc-service-account-email",
        "--description", "--oidc-token-audience", "--attempt-deadline", "--max-retry-attempts",
        "--max-retry-duration",
        "--min-backoff", "--max-backoff", "--max-doublings",
    },
    "builds": {"--config", "--ignore-file"},
    "run jobs": {
        "--image", "--service-account", "--env-vars-file", "--set-cloudsql-instances", "--vpc-connector",
        "--command", "--args", "--max-retries", "--task-timeout", "--wait",
    },
    "run deploy": {
        "--image", "--service-account", "--env-vars-file", "--set-cloudsql-instances", "--vpc-connector",
        "--no-traffic", "--tag", "--revision-suffix", "--allow-unauthenticated", "--cpu", "--memory",
        "--concurrency", "--min", "--max-instances", "--timeout", "--startup-probe", "--liveness-probe",
    },
    "run services": {"--filter", "--to-revisions", "--update-tags", "--remove-tags"},
    "terraform": {"-chdir", "-input", "-reconfigure", "-backend-config", "-or-create", "-detailed-exitcode",
                  "-var", "-out", "-json"},
    "cloud-sql-proxy": {"--unix-socket", "--health-check", "--http-port", "--max"},
}  # fmt: skip


def fail(text: str) -> None:
    sys.stderr.write(f"stand-in: {text}\n")
    sys.exit(1)


def flag(wanted: str) -> str:
    for word in words:
        if word.partition("=")[0] == wanted:
            return word.partition("=")[2]
    fail(f"{wanted} is missing in {name} {' '.join(words)}")
    return ""


def has(wanted: str) -> bool:
    return any(word.partition("=")[0] == wanted for word in words)


def check_flags() -> None:
    allowed = set(FLAGS.get(name, ()))
    if name == "gcloud":
        found = [kind for kind in (" ".join(words[:2]), words[0]) if kind in FLAGS]
        allowed = GCLOUD | FLAGS.get(found[0] if found else "", set())
        if flag("--project") != "example":
            fail("another project")
    elif name not in FLAGS:
        return
    unknown = {word.partition("=")[0] for word in words if word.startswith("-")} - allowed
    if unknown:
        fail(f"{name} {' '.join(words[:3])}: unknown {', '.join(sorted(unknown))}")


def pairs(text: str) -> dict:
    return dict(one.split("=") for one in text.split(","))


def say(value: object) -> None:
    print(value if isinstance(value, str) else json.dumps(value))


# -- gcloud, by its words ------------------------------------------------------------------------------------


def app_versions_list(state: dict) -> None:
    found = [
        {"id": one, "service": "default", "traffic_split": share} for one, share in state["versions"].items()
    ]
    say([*found, {"id": "v20200101t000000-0000000000", "service": "other", "traffic_split": 1.0}])


def app_versions_describe(state: dict) -> None:
    if words[3] not in state["versions"]:
        fail("NOT_FOUND")
    say(state["url"])


def app_versions_delete(state: dict) -> None:
    for one in words[3:]:
        if not one.startswith("-"):
            if state["versions"].get(one):
                fail(f"{one} has traffic")
            del state["versions"][one]


def app_services_set_traffic(state: dict) -> None:
    splits = {one: float(share) for one, share in pairs(flag("--splits")).items()}
    if set(splits) - set(state["versions"]):
        fail("no such version")
    state["versions"] = {one: splits.get(one, 0.0) for one in state["versions"]}


def app_deploy(state: dict) -> None:
    path = words[2]
    kind = os.path.basename(path)
    text = open(path).read()
    if kind.startswith("app."):
        if not has("--no-promote") or "web@example" not in text:
            fail("that would serve at once")
        state["versions"][flag("--version")] = 0.0 if state["versions"] else 1.0
        return
    state["files"][kind] = text
    if kind == "queue.yaml":
        listed = set(re.findall(r"name: (\S+)", text))
        for queue in listed:
            state["queues"][queue] = {"state": "RUNNING"}
        for queue in set(state["queues"]) - listed - {"default"}:
            state["queues"][queue]["state"] = "PAUSED"


def datastore_indexes_create(state: dict) -> None:
    state["indexes"] = "READY"


def datastore_indexes_list(state: dict) -> None:
    say([{"state": state["indexes"]}])


def tasks_queues_list(state: dict) -> None:
    say([{"name": f"projects/p/locations/l/queues/{one}", **rest} for one, rest in state["queues"].items()])


def tasks_queues_create(state: dict) -> None:
    if words[3] in state["queues"]:
        fail("exists")
    state["queues"][words[3]] = {"state": "RUNNING"}
    tasks_queues_update(state)


def tasks_queues_update(state: dict) -> None:
    state["queues"][words[3]]["rate"] = flag("--max-dispatches-per-second")


def tasks_queues_pause(state: dict) -> None:
    state["queues"][words[3]]["state"] = "PAUSED"


def tasks_queues_resume(state: dict) -> None:
    state["queues"][words[3]]["state"] = "RUNNING"


def tasks_create(state: dict) -> None:
    body = json.loads(open(flag("--body-file")).read())
    if body["args"] != [max(state["versions"])]:
        fail("a task for another version")
    if "STUCK" in os.environ:  # else it is done at once
        state["tasks"].append(words[2])


def tasks_describe(state: dict) -> None:
    if words[2] not in state["tasks"]:
        fail("NOT_FOUND: the task does not exist")
    say({"dispatchCount": 1})


def tasks_delete(state: dict) -> None:
    if words[2] not in state["tasks"]:
        fail("NOT_FOUND: the task does not exist")
    state["tasks"].remove(words[2])


def sql_instances_describe(state: dict) -> None:
    say("True")


def logging_read(state: dict) -> None:
    say([{"httpRequest": {"status": 500}}] * int(os.environ.get("LOGGED_ERRORS", "0")))


def projects_describe(state: dict) -> None:
    say("123456" if "projectNumber" in flag("--format") else "example")


def auth_list(state: dict) -> None:
    say("somebody@example.test")


def storage_buckets_describe(state: dict) -> None:
    if not state["bucket"]:
        fail("not found: 404")


def storage_buckets_create(state: dict) -> None:
    state["bucket"] = True


def run_services_list(state: dict) -> None:
    if not state["versions"]:
        return say([])
    traffic = [
        {"revisionName": f"web-{one}", "percent": round(share * 100)}
        for one, share in state["versions"].items()
        if share
    ]
    traffic += [
        {"revisionName": f"web-{one}", "tag": tag, "url": state["url"]} for tag, one in state["tags"].items()
    ]
    say([{"status": {"url": state["url"], "traffic": traffic}}])
    return None


def run_deploy(state: dict) -> None:
    if state["versions"] and not has("--no-traffic"):
        fail("that would serve at once")
    open(flag("--env-vars-file")).close()
    state["versions"][flag("--revision-suffix")] = 0.0 if state["versions"] else 1.0
    state["tags"][flag("--tag")] = flag("--revision-suffix")


def run_services_update_traffic(state: dict) -> None:
    if has("--to-revisions"):
        splits = {
            one.removeprefix("web-"): int(share) / 100 for one, share in pairs(flag("--to-revisions")).items()
        }
        state["versions"] = {one: splits.get(one, 0.0) for one in state["versions"]}
    if has("--update-tags"):
        state["tags"] |= {tag: one.removeprefix("web-") for tag, one in pairs(flag("--update-tags")).items()}
    if has("--remove-tags"):
        for tag in flag("--remove-tags").split(","):
            del state["tags"][tag]


def scheduler_jobs_list(state: dict) -> None:
    say(
        [{"name": f"projects/p/locations/l/jobs/{one}", "state": kind} for one, kind in state["jobs"].items()]
    )


def scheduler_jobs_create(state: dict) -> None:
    if words[4] in state["jobs"]:
        fail("exists")
    state["jobs"][words[4]] = "ENABLED"


def scheduler_jobs_update(state: dict) -> None:
    if words[4] not in state["jobs"]:
        fail("NOT_FOUND")


def scheduler_jobs_pause(state: dict) -> None:
    state["jobs"][words[3]] = "PAUSED"


def scheduler_jobs_resume(state: dict) -> None:
    state["jobs"][words[3]] = "ENABLED"


def terraform(state: dict) -> None:
    if "plan" in words:
        sys.exit(2)
    if "output" in words:
        say(state["deployment"])


def act(state: dict) -> None:
    if name == "terraform":
        terraform(state)
    if name != "gcloud":
        return
    plain = [word.replace("-", "_") for word in words if not word.startswith("-")]
    for length in (3, 2):
        function = globals().get("_".join(plain[:length]))
        if callable(function):
            function(state)
            return
    if plain[:2] in (["tasks", "create_app_engine_task"], ["tasks", "create_http_task"]):
        tasks_create(state)
    elif plain[:2] not in (
        ["auth", "application_default"], ["services", "enable"], ["storage", "buckets"],
        ["auth", "configure_docker"], ["builds", "submit"], ["run", "jobs"], ["sql", "backups"],
    ):  # fmt: skip
        fail(f"unknown call: {' '.join(words)}")


def wait_for_proxy() -> None:
    """Until the proxy beside has begun, well or badly."""
    while not os.path.exists(f"{HOME}/proxy"):
        time.sleep(0.01)
    with open(f"{HOME}/proxy") as file:
        if file.read() == "0":
            fail("there is no proxy")


def is_module(wanted: str) -> bool:
    return words[:2] == ["-m", f"apps.appengine.deploy.{wanted}"]


def main() -> None:
    if name == "cloud-sql-proxy" and words[0] == "wait":
        wait_for_proxy()
    with open(f"{HOME}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(f"{HOME}/calls", "a+") as calls:
            calls.seek(0)
            number = len(calls.read().splitlines()) + 1
            calls.write(json.dumps([name, *words]) + "\n")
        failing = str(number) == os.environ.get("FAIL_AT") or (
            os.environ.get("FAIL_ON", "\0") in " ".join([name, *words])
        )
        if name == "cloud-sql-proxy" and words[0] != "wait":
            with open(f"{HOME}/proxy.new", "w") as file:
                file.write("0" if failing else str(os.getpid()))
            os.replace(f"{HOME}/proxy.new", f"{HOME}/proxy")
            fcntl.flock(lock, fcntl.LOCK_UN)
            check_flags()
            if not failing:
                signal.pause()
        if (failing and "FAIL_AFTER" not in os.environ) or (name == "cloud-sql-proxy" and failing):
            fail("made to fail")
        if name == "python" and words[:1] == ["-m"] and not is_module("with_environment"):
            fcntl.flock(lock, fcntl.LOCK_UN)
            python = os.environ["REAL_PYTHON"]
            os.execv(python, [python, *words])  # a module of the program itself
        check_flags()
        with open(f"{HOME}/state.json") as file:
            state = json.load(file)
        try:
            act(state)
        finally:
            with open(f"{HOME}/state.json.new", "w") as file:
                json.dump(state, file)
            os.replace(f"{HOME}/state.json.new", f"{HOME}/state.json")
        if failing:
            fail("made to fail, after the deed")
    if os.environ.get("HANG_ON", "\0") in " ".join(words):
        open(f"{HOME}/hanging", "w").write(str(os.getpid()))
        signal.pause()


main()
