"""The whole service run as on App Engine and as on Cloud Run: who is trusted, who serves static files."""

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from apps.appengine.local.issuer import keys
from apps.appengine.local.programs import SERVICE_ACCOUNT
from tests.functional.system import System, running

FORGED = {
    "X-AppEngine-QueueName": "default",
    "X-Appengine-Cron": "true",
    "X-CloudTasks-QueueName": "default",
    "X-CloudScheduler": "true",
}


@pytest.fixture(scope="module", params=["appengine", "http"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """With DEBUG off, static files have their hashed names."""
    home = tmp_path_factory.mktemp(request.param)
    with running(home, TASKS_TARGET=request.param, DEBUG="off") as system:
        yield system


def is_cloud_run(system: System) -> bool:
    return system.environment["TASKS_TARGET"] == "http"


def ask(system: System, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(f"{system.url}{path}", None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, lower(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {}, error.read().decode(errors="replace")


def lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize(("method", "path"), [("POST", "/_tasks/default/x.y"), ("GET", "/_cron/nothing")])
def test_forged_headers_are_refused_through_the_front_door(system: System, method: str, path: str) -> None:
    """App Engine's removes them; Cloud Run's lets them through, and nobody there believes them."""
    assert ask(system, path, method, **FORGED)[0] == 403


def test_on_cloud_run_a_token_of_the_issuer_is_trusted_and_one_of_another_key_is_not(
    system: System, tmp_path: Path
) -> None:
    if not is_cloud_run(system):
        assert ask(system, "/_cron/nothing", Authorization="Bearer a.b.c")[0] == 403
        return
    keys.make(tmp_path, time.time())
    (stranger,) = keys.keys(tmp_path)
    ours = keys_of(system)
    (ours_id,) = [key.id for key in keys.keys(ours)]
    stranger.file.rename(tmp_path / f"{int(stranger.made)}-{ours_id}.pem")  # under the id of the issuer's key
    for folder, status in ((tmp_path, 403), (ours, 404)):
        token = keys.token(folder, audience=system.url, email=SERVICE_ACCOUNT, now=time.time())
        assert ask(system, "/_cron/nothing", Authorization=f"Bearer {token}")[0] == status


def keys_of(system: System) -> Path:
    """Where the run's issuer keeps its keys: the queue server is told."""
    (pid,) = system.pids("local.queue_server")
    arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return Path(arguments[arguments.index("--keys") + 1])


def test_a_page_names_hashed_files_and_each_target_serves_them_in_its_way(system: System) -> None:
    page = ask(system, "/sign-in")[2]
    (path, *_) = re.findall(r'href="(/static/core/site\.[0-9a-f]{12}\.css)"', page)
    status, headers, body = ask(system, path)
    assert status == 200
    assert "{" in body
    if is_cloud_run(system):  # WhiteNoise, in the process
        assert "immutable" in headers["cache-control"]
    else:  # the handler in app.yaml, before the process
        assert headers["cache-control"] == "public, max-age=3600"


def test_health_and_readiness_have_names_that_both_targets_let_through(system: System) -> None:
    assert ask(system, "/health")[0] == 200
    assert ask(system, "/ready")[0] == 200
    kept = 404 if is_cloud_run(system) else 200
    assert [ask(system, path)[0] for path in ("/healthz", "/readyz", "/_ah/warmup")] == [kept] * 3


def test_the_web_process_is_started_by_the_targets_own_command(system: System) -> None:
    (master,) = system.pids("gunicorn")
    command = Path(f"/proc/{master}/cmdline").read_text().split("\0")
    assert "main:app" in command
    # The last one counts: that of the local run, which wants to end quickly.
    assert command.count("--graceful-timeout") == (2 if is_cloud_run(system) else 1)
