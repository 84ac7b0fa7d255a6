"""The real program against stand-ins that keep a project's state: it succeeds, and fails at every call."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import gcloud
from tests.functional.deploy.cloud import NEW_FILES, OLD_FILES, ROOT, Cloud, cloud
from tests.functional.system import wait_until

TARGETS = ("appengine", "cloudrun")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Cloud]:
    with cloud(tmp_path / "cloud") as made:
        yield made


def steps(output: str) -> list[str]:
    """The names of the steps that began."""
    return re.findall(r"^\[\d+/\d+\] ([\w-]+):", output, re.MULTILINE)


def prepare(project: Cloud, target: str) -> None:
    project.reset(project.state["url"], target=target)


def of_release(project: Cloud) -> str:
    """The one version that was not there before."""
    [version] = set(project.state["versions"]) - {project.old_version}
    return version


@pytest.mark.parametrize("target", TARGETS)
def test_a_release_serves_all_with_its_own_queues_and_schedule(project: Cloud, target: str) -> None:
    prepare(project, target)
    done = project.program(TARGET=target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.traffic == {of_release(project): 1.0}
    assert of_release(project).endswith(project.new)
    assert project.state["queues"]["added"]["state"] == "RUNNING"
    assert project.state["tasks"] == []
    if target == "appengine":
        assert project.state["files"]["cron.yaml"] == NEW_FILES["cron.yaml"]
    else:
        assert project.state["jobs"] == {"cron-old": "PAUSED", "cron-new": "ENABLED"}
    assert proxy_is_gone(project)


def proxy_is_gone(project: Cloud) -> bool:
    file = project.folder / "proxy"
    return not file.exists() or not Path("/proc", file.read_text()).exists()


@pytest.mark.parametrize("target", TARGETS)
def test_a_failure_at_any_call_leaves_the_old_version_as_it_was(
    tmp_path: Path, target: str, subtests: pytest.Subtests
) -> None:
    """For every N: the call N of a stand-in fails, before it did anything and after it did everything."""
    with cloud(tmp_path / "whole") as whole:
        prepare(whole, target)
        done = whole.program(TARGET=target)
        assert done.returncode == 0, done.stdout + done.stderr
        calls, names = whole.calls, steps(done.stdout)
    assert gcloud.faults(with_rendered(calls, tmp_path), tmp_path) == {}
    assert len(names) > 15

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        clouds = [stack.enter_context(cloud(tmp_path / str(worker))) for worker in range(2)]
        cases = [(number, False) for number in range(1, len(calls) + 1)]
        cases += [(number, True) for number, call in enumerate(calls, 1) if CHANGING & set(call)]
        halves = pool.map(
            lambda worker: [fail(clouds[worker], target, *case) for case in cases[worker::2]], (0, 1)
        )
        results = [result for half in halves for result in half]
    failed_in = set()
    for number, after, code, output, finding in results:
        call = " ".join(calls[number - 1][:5])
        with subtests.test(number=number, after=after, call=call):
            assert not finding, output
            if code:
                failed_in.add(re.search(r"FAILED in step \d+ of \d+, ([\w-]+)", output)[1])  # type: ignore[index]
    assert failed_in == set(names)


def with_rendered(calls: list[list[str]], folder: Path) -> list[list[str]]:
    """The calls of gcloud, and the file that its parser reads for one of their flags."""
    rendered = folder / ".local/deploy/example/environment.yaml"
    rendered.parent.mkdir(parents=True)
    rendered.write_text("NAME: value\n")
    return [call for call in calls if call[0] == "gcloud"]


type Result = tuple[int, bool, int, str, str]


def fail(project: Cloud, target: str, number: int, after: bool) -> Result:
    """Run with a failure at the call; what is wrong with the state it leaves, or nothing."""
    prepare(project, target)
    variables = {"TARGET": target, "FAIL_AT": str(number)} | ({"FAIL_AFTER": "1"} if after else {})
    done = project.program(**variables)
    output = done.stdout + done.stderr
    return number, after, done.returncode, output, finding(project, target, number, done.returncode, output)


def finding(project: Cloud, target: str, number: int, code: int, output: str) -> str:
    """What is not as it should be after the failure; empty when all is well."""
    if code == 0:  # a bucket that gcloud cannot describe is made: the one question that may fail
        return "" if "describe" in project.calls[number - 1] and project.traffic else "nobody was told"
    step = re.search(r"^FAILED in step \d+ of \d+, ([\w-]+): ", output, re.MULTILINE)
    if not step:
        return "no step is named"
    if step[1] in AFTER_THE_RELEASE:
        return "" if project.traffic == {of_release(project): 1.0} else "the release does not serve"
    state = project.state
    facts = {
        "traffic": project.traffic == {project.old_version: 1.0},
        "the new queue": state["queues"].get("added", {}).get("state") != "RUNNING",
        "the smoke task": state["tasks"] == [],
        "the proxy": proxy_is_gone(project),
        "one line for each change": "COULD NOT BE TAKEN BACK" not in output,
        **FACTS[target](project),
    }
    return ", ".join(what for what, holds in facts.items() if not holds)


def app_engine_facts(project: Cloud) -> dict[str, bool]:
    files = project.state["files"]
    return {
        "the uploaded files": {name: files[name] for name in OLD_FILES} == OLD_FILES,
        "the new version": set(project.state["versions"]) == {project.old_version},
    }


def cloud_run_facts(project: Cloud) -> dict[str, bool]:
    running = {name for name, state in project.state["jobs"].items() if state == "ENABLED"}
    return {
        "the queue's rate": project.state["queues"]["default"].get("rate") != "2",
        "the jobs": running == {"cron-old"},
    }


CHANGING = {"deploy", "set-traffic", "update-traffic", "create", "create-app-engine-task", "migrate"}
AFTER_THE_RELEASE = {"mark", "clean-up"}  # steps whose failure takes nothing back
FACTS = {"appengine": app_engine_facts, "cloudrun": cloud_run_facts}


def test_after_a_failure_the_same_command_goes_on(project: Cloud) -> None:
    assert project.program(FAIL_ON="set-traffic default --splits=v2026").returncode == 1
    (project.folder / "calls").write_text("")
    done = project.program()
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.state["queues"]["added"]["state"] == "RUNNING"


def test_an_undo_that_fails_hides_nothing_and_stops_no_other(project: Cloud) -> None:
    """cron.yaml fails, and so does the traffic's way back: the queues still go back, and both are told."""
    done = project.program(FAIL_ON=f"--splits={project.old_version}=1", LOGGED_ERRORS="9")
    assert done.returncode == 1
    assert "FAILED in step 16 of 18, promote" in done.stdout
    assert "COULD NOT BE TAKEN BACK" in done.stdout
    assert f"the traffic goes to {project.old_version} (100%)" in done.stdout.partition("COULD NOT")[2]
    assert project.state["files"]["queue.yaml"] == OLD_FILES["queue.yaml"]


def test_server_errors_of_the_first_share_take_the_release_back(project: Cloud) -> None:
    done = project.program(LOGGED_ERRORS="4", ALLOWED_ERRORS="3")
    assert done.returncode == 1
    assert "4 server errors" in done.stderr
    splits = [call[4] for call in project.calls if call[:4] == ["gcloud", "app", "services", "set-traffic"]]
    assert len([call for call in project.calls if "set-traffic" in call]) == 2, splits
    assert project.traffic == {project.old_version: 1.0}


@pytest.mark.parametrize("path", ["/health", "/ready", "/sign-in", "/static/"])
def test_a_version_that_does_not_answer_well_gets_no_traffic(project: Cloud, path: str) -> None:
    project.broken = path
    url = project.state["url"]
    asked = subprocess.run(
        [sys.executable, "-m", "apps.appengine.deploy.smoke", url, project.old_version, "--seconds=0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1
    assert f"{url}{path}" in asked.stderr
    assert "answered 500: broken" in asked.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_takes_everything_back(project: Cloud, number: signal.Signals) -> None:
    """In the migration, while the proxy runs beside it; the child that is waited for ends too."""
    running = subprocess.Popen(
        [sys.executable, "-m", "apps.appengine.deploy", "deploy"],
        cwd=project.clone,
        env=project.environment(HANG_ON="manage.py migrate"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert wait_until((project.folder / "hanging").exists, 120)
    running.send_signal(number)
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 128 + number, output
    assert f"Interrupted by {number.name}" in output
    assert project.traffic == {project.old_version: 1.0}
    assert project.state["files"]["queue.yaml"] == OLD_FILES["queue.yaml"]
    assert set(project.state["versions"]) == {project.old_version}
    assert proxy_is_gone(project)
    assert not Path(f"/proc/{(project.folder / 'hanging').read_text()}").exists()


def test_the_first_release_of_an_empty_project_serves(project: Cloud) -> None:
    project.reset(project.state["url"], first=True)
    done = project.program()
    assert done.returncode == 0, done.stdout + done.stderr
    [version] = project.state["versions"]
    assert project.traffic == {version: 1.0}


def test_a_queue_that_would_be_paused_stops_the_release_before_it_is(project: Cloud) -> None:
    state = project.state
    state["queues"]["forgotten"] = {"state": "RUNNING"}
    project.state = state
    done = project.program()
    assert done.returncode == 1
    assert "queue.yaml does not list forgotten" in done.stdout
    assert "DISABLE_QUEUES=forgotten" in done.stdout
    assert project.state["queues"]["forgotten"]["state"] == "RUNNING"
    assert project.program(DISABLE_QUEUES="forgotten").returncode == 0


def test_changes_that_are_not_committed_stop_the_release(project: Cloud) -> None:
    (project.clone / "index.yaml").write_text("indexes: []\n")
    done = project.program()
    assert done.returncode == 1
    assert "index.yaml" in done.stdout
    assert "DIRTY=1" in done.stdout
    assert project.calls == []


@pytest.mark.parametrize("target", TARGETS)
def test_a_rollback_brings_back_the_version_before_with_its_files(project: Cloud, target: str) -> None:
    prepare(project, target)
    assert project.program(TARGET=target).returncode == 0
    done = project.program("rollback", TARGET=target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.traffic == {project.old_version: 1.0}
    assert project.state["queues"]["added"]["state"] == "PAUSED"
    if target == "appengine":
        assert project.state["files"]["cron.yaml"] == OLD_FILES["cron.yaml"]
    else:
        assert project.state["jobs"] == {"cron-old": "ENABLED", "cron-new": "PAUSED"}


@pytest.mark.parametrize("target", TARGETS)
def test_a_rollback_that_fails_leaves_the_release_serving(project: Cloud, target: str) -> None:
    prepare(project, target)
    assert project.program(TARGET=target).returncode == 0
    release, files, jobs = of_release(project), project.state["files"], project.state["jobs"]
    fails = "after/cron.yaml" if target == "appengine" else "jobs update http cron-old"
    done = project.program("rollback", TARGET=target, FAIL_ON=fails)
    assert done.returncode == 1
    assert project.traffic == {release: 1.0}
    assert project.state["queues"]["added"]["state"] == "RUNNING"
    assert (project.state["files"], project.state["jobs"]) == (files, jobs)


def test_make_prints_the_full_plan_and_runs_nothing_of_it(project: Cloud, tmp_path: Path) -> None:
    """The command of the README, in this repository, with programs on PATH that would write down a call."""
    (project.bin / "make").unlink()
    for verb in ("deploy", "rollback"):
        for target in TARGETS:
            done = subprocess.run(
                ["make", verb, "PROJECT=example", f"TARGET={target}"],
                cwd=ROOT,
                env=project.environment(DRY_RUN="1"),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            script = tmp_path / "plan.sh"
            script.write_text(done.stdout)
            subprocess.run(["bash", "-n", script], check=True)
            numbers = re.findall(r"^# \[(\d+)/(\d+)\] ", done.stdout, re.MULTILINE)
            assert [int(number) for number, _ in numbers] == list(range(1, int(numbers[0][1]) + 1))
            if verb == "deploy":
                assert len(numbers) >= 18
                assert "If this or a later step fails: the traffic goes to" in done.stdout
    assert project.calls == []
    assert not (ROOT / "app.example.yaml").exists()


def test_a_project_that_is_none_is_refused(project: Cloud) -> None:
    done = project.program(PROJECT="Example!")
    assert (done.returncode, project.calls) == (2, [])
    assert "PROJECT is 'Example!'" in done.stderr


def test_nothing_that_is_called_holds_a_secret(project: Cloud) -> None:
    """Secrets come from Secret Manager into the process that needs them, never by a command line."""
    assert project.program().returncode == 0
    text = json.dumps(project.calls)
    assert "PASSWORD" not in text.upper().replace("DB-PASSWORD", "")
    assert "SECRET_KEY" not in text
