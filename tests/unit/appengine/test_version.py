import asyncio
import contextvars
import threading
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from apps.appengine import version
from apps.appengine.version import VersionMiddleware

OWN = "20261122t150000-dot-p.ew.r.appspot.com"


@pytest.fixture(autouse=True)
def _this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAE_VERSION", "20261122t150000")


@pytest.mark.parametrize(
    "host",
    [
        OWN,
        "20261122t150000-dot-api-dot-p.ew.r.appspot.com",
        "20261122t150000.api.p.ew.r.appspot.com",
        "20261122T150000.P.appspot.com:443",
    ],
)
def test_a_versions_own_host_is_recognised_with_or_without_its_service(host: str) -> None:
    assert version.is_own_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "p.ew.r.appspot.com",
        "api-dot-p.ew.r.appspot.com",
        "20261122t1500001-dot-p.ew.r.appspot.com",
        "20261122t150000",
        "hooks.example.com",
        "x.20261122t150000-dot-p.ew.r.appspot.com",
    ],
)
def test_any_other_host_is_not_the_versions_own(host: str) -> None:
    assert not version.is_own_host(host)


def test_outside_app_engine_no_host_is_a_versions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAE_VERSION")
    assert not version.is_own_host(".p.appspot.com")
    with version.activate(OWN):
        assert version.pinned() == ""


def test_a_command_is_pinned_to_no_version() -> None:
    assert version.pinned() == ""


def test_a_block_ends_with_the_host_it_began_with() -> None:
    with version.activate(OWN):
        with suppress(RuntimeError), version.activate("p.ew.r.appspot.com"):
            assert version.pinned() == ""
            raise RuntimeError
        assert version.pinned() == "20261122t150000"
    assert version.pinned() == ""


def test_a_thread_is_pinned_by_the_context_copied_into_it() -> None:
    seen: list[str] = []
    with version.activate(OWN):
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(lambda: seen.append(version.pinned()),)
        )
        thread.start()
        thread.join()
        assert asyncio.run(asyncio.to_thread(version.pinned)) == "20261122t150000"
    assert seen == ["20261122t150000"]


def see(seen: list[Any]) -> Any:
    def view(_: HttpRequest) -> HttpResponse:
        seen.append(version.pinned())
        return HttpResponse()

    return view


def test_a_request_is_pinned_by_its_host_and_leaves_nothing_behind(rf: RequestFactory) -> None:
    seen: list[str] = []
    for host in (OWN, "p.ew.r.appspot.com", "not/a host"):
        VersionMiddleware(see(seen))(rf.get("/", headers={"Host": host}))
    assert seen == ["20261122t150000", "", ""]
    assert version.pinned() == ""


def test_an_async_request_is_pinned_by_its_host(rf: RequestFactory) -> None:
    seen: list[str] = []

    async def view(request: HttpRequest) -> HttpResponse:
        return see(seen)(request)

    async def serve(middleware: Any) -> None:
        await middleware(rf.get("/", headers={"Host": OWN}))
        assert version.pinned() == ""

    middleware = VersionMiddleware(view)
    assert iscoroutinefunction(middleware)
    asyncio.run(serve(middleware))
    assert seen == ["20261122t150000"]


@pytest.mark.usefixtures("shared_datastore")
@pytest.mark.parametrize(("host", "pinned"), [(OWN, "20261122t150000"), ("p.ew.r.appspot.com", "")])
def test_cron_enqueues_to_whichever_version_takes_traffic_unless_it_asked_for_this_one(
    monkeypatch: pytest.MonkeyPatch, settings: Any, host: str, pinned: str
) -> None:
    seen: list[str] = []
    monkeypatch.setenv("LOCAL_RUNTIME", "1")
    monkeypatch.setattr("tests.unit.appengine.example_tasks.callback", lambda: seen.append(version.pinned()))
    monkeypatch.setattr("mysite.cron.JOBS", {"job": "tests.unit.appengine.test_version.job"})
    settings.ALLOWED_HOSTS = [host]

    response = Client().get("/_cron/job", headers={"Host": host, "X-Appengine-Cron": "true"})

    assert response.status_code == 200
    assert seen == [pinned]


def job() -> None:
    """A cron job that says where its tasks would go."""
    from tests.unit.appengine import example_tasks  # noqa: PLC0415  the test replaces what is called

    example_tasks.callback()
