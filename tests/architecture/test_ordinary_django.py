"""Somebody who knows Django and nothing else gets along: .env, migrate, runserver."""

import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.appengine.local.preflight import free_port
from tests.architecture import repository


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with .env and a migrated database."""
    folder = repository.copy_to(tmp_path_factory.mktemp("clone"))
    shutil.copy(folder / ".env.example", folder / ".env")
    repository.manage(folder, "check")
    repository.manage(folder, "migrate", "--no-input")
    return folder


@contextmanager
def runserver(folder: Path, **variables: str) -> Iterator[str]:
    """The address of a development server."""
    port = free_port()
    with (folder / "runserver.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
            cwd=folder,
            env={**repository.environment(), **variables},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def get(url: str, seconds: float = 30) -> tuple[int, str]:
    """Status and body, once the server listens. Raises AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)


@pytest.mark.parametrize("toolbar", ["", "1"])
def test_runserver_serves_pages(project: Path, toolbar: str) -> None:
    variables = {"DEBUG_TOOLBAR": toolbar} if toolbar else {}
    with runserver(project, **variables) as address:
        status, page = get(f"{address}/sign-in")
        assert (status, "djDebug" in page) == (200, bool(toolbar))


def test_runserver_says_that_tasks_have_nowhere_to_go(project: Path) -> None:
    with runserver(project) as address:
        get(f"{address}/sign-in")
    said = (project / "runserver.log").read_text()
    assert "Tasks have nowhere to go" in said
    assert "`make run` starts a queue server" in said


def test_every_table_has_its_migration(project: Path) -> None:
    assert "No changes detected" in repository.manage(project, "makemigrations", "--check", "--dry-run")


# webhooks: begin
def test_runserver_serves_the_api(project: Path) -> None:
    with runserver(project) as address:
        assert get(f"{address}/api/v1/health") == (204, "")


# webhooks: end
