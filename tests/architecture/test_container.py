"""The Dockerfile and .dockerignore as text: what is copied, who runs it, how it starts."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from apps.appengine.local import dockerfile
from tests import container_image
from tests.architecture import repository

ROOT = Path(__file__).resolve().parents[2]


def arguments(instruction: str, stage: str | None = None) -> list[str]:
    lines = container_image.instructions() if stage is None else container_image.stages()[stage]
    return [found for name, found in lines if name == instruction]


def test_the_linter_finds_nothing_and_nothing_is_hidden_from_it() -> None:
    done = subprocess.run(
        [repository.PROGRAMS / "hadolint", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in (ROOT / "Dockerfile").read_text()


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /tmp\nCMD gunicorn\n")
    done = subprocess.run([repository.PROGRAMS / "hadolint", "Dockerfile"], cwd=tmp_path, check=False)
    assert done.returncode != 0


def test_the_base_is_pinned_by_a_full_version_and_a_digest_and_is_the_runtime_of_app_engine() -> None:
    first, *others = arguments("FROM")
    match = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64} AS base", first)
    assert match
    assert {other.split()[0] for other in others} == {"base"}
    runtime = yaml.safe_load((ROOT / "app.yaml").read_text())["runtime"]
    assert runtime == f"python{match[1]}{match[2]}"


def test_the_image_is_made_of_what_app_engine_gets_and_manage_py() -> None:
    """But for static_root, which lies in no repository: the image collects its own."""
    uploaded = not_ignored(".gcloudignore")
    assert "main.py" in uploaded
    assert "README.md" not in uploaded
    assert {str(path) for path in container_image.context()} == uploaded | {"manage.py"}


def not_ignored(file: str) -> set[str]:
    """What git tracks and does not ignore by that file's patterns, which gcloud reads as git does."""
    command = ["git", "ls-files", "--cached", "--ignored", f"--exclude-from={file}"]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {str(path) for path in repository.tracked()} - set(ignored.splitlines())


def test_git_and_gcloud_read_dockerignore_as_docker_does() -> None:
    """Docker knows `*` as one level, git as any: a deploy sends the folder by this list."""
    assert {str(path) for path in container_image.context()} == not_ignored(".dockerignore")


def test_every_source_of_copy_is_sent_to_the_builder() -> None:
    sources = [
        source for line in arguments("COPY") if not line.startswith("--from=") for source in line.split()[:-1]
    ]
    sent = {str(part) for path in container_image.context() for part in [path, *path.parents]}
    assert sources
    assert set(sources) <= sent
    # And nothing is sent for nothing.
    assert {str(path).split("/")[0] for path in container_image.context()} == set(sources)


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("README.md", True),
        (".env", True),
        (".local/api-key", True),
        ("tests/conftest.py", True),
        ("static_root/core/site.css", True),
        ("apps/core/ids.py", False),
        ("apps/core/__pycache__/ids.cpython-313.pyc", True),
        ("apps/appengine/local/supervisor.py", True),
        ("mysite/settings/local.py", True),
        ("mysite/settings/production.py", False),
    ],
)
def test_what_docker_ignores(path: str, ignored: bool) -> None:
    assert container_image.is_ignored(Path(path)) is ignored


def test_the_start_command_is_the_entrypoint_of_app_yaml_but_for_the_time_to_end() -> None:
    """Cloud Run kills 10 seconds after SIGTERM: https://cloud.google.com/run/docs/container-contract"""
    entrypoint = shlex.split(yaml.safe_load((ROOT / "app.yaml").read_text())["entrypoint"])
    command = container_image.command()
    at = command.index("--graceful-timeout")
    assert 0 < int(command[at + 1]) < 10
    assert command[:at] + command[at + 2 :] == entrypoint


def test_no_shell_stands_between_cloud_run_and_gunicorn() -> None:
    assert [line[:1] for line in arguments("CMD")] == ["["]
    assert arguments("ENTRYPOINT") == []


def test_the_process_is_nobody_and_owns_nothing() -> None:
    (user,) = arguments("USER", stage="")
    uid, gid = user.split(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    assert "--chown" not in (ROOT / "Dockerfile").read_text()


def test_only_pinned_hashed_wheels_are_installed_and_only_the_run_time_ones() -> None:
    (install,) = [line for line in arguments("RUN") if "pip" in line]
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert install.endswith("-r requirements.txt")


def test_the_build_takes_no_secret() -> None:
    assert arguments("ARG") == []
    assert not [line for line in arguments("RUN") if "--mount" in line]
    (collect,) = [line for line in arguments("RUN") if "collectstatic" in line]
    assert collect.startswith("BUILD_MODE=1 ")
    assert not any(re.search("SECRET|KEY|PASSWORD|TOKEN", name) for name in container_image.variables())


@pytest.mark.parametrize("text", ["FROM x\n", "CMD gunicorn main:app\n", 'CMD {"a": 1}\n', "CMD [1]\n"])
def test_a_dockerfile_without_a_start_command_is_refused_by_the_local_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(ValueError, match="Dockerfile: CMD"):
        dockerfile.start_command(tmp_path / "Dockerfile")
