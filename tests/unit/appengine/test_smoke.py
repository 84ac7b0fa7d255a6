import json

import pytest

from apps.appengine import health, smoke
from apps.appengine.deploy import smoke_task
from apps.appengine.tasks.body import Body
from apps.appengine.tasks.route import _find_task


def well(seconds: float) -> None:
    assert seconds


def broken(seconds: float) -> None:
    raise ConnectionError(seconds)


def test_every_store_that_answers_lets_the_version_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBES", {"sql": well, "queue": well})
    monkeypatch.setenv("GAE_VERSION", "v1")
    smoke.smoke.func("v1")


def test_a_store_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBES", {"sql": broken, "queue": well})
    monkeypatch.setenv("K_REVISION", "web-v1")
    with pytest.raises(smoke.UnreachableError, match=r"^sql: ConnectionError$"):
        smoke.smoke.func("v1")


@pytest.mark.parametrize("here", ["", "v2"])
def test_a_task_that_ran_elsewhere_proves_nothing(monkeypatch: pytest.MonkeyPatch, here: str) -> None:
    monkeypatch.setattr(health, "PROBES", {"sql": well})
    monkeypatch.setenv("GAE_VERSION", here)
    with pytest.raises(smoke.WrongVersionError):
        smoke.smoke.func("v1")


def test_the_task_that_is_queued_is_one_that_the_route_runs() -> None:
    """A malformed body is answered 200, and a version would pass that was never tried."""
    body = Body.decode(smoke_task.body("v1").encode())
    assert _find_task(body.task) is smoke.smoke
    assert f"/_tasks/default/{body.task}" == smoke_task.PATH
    assert (body.args, body.kwargs) == (["v1"], {})
    assert json.loads(smoke_task.body("v1"))["backend"] == "default"
