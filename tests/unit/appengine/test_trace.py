import asyncio
import contextvars
import threading
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from apps.appengine import trace
from apps.appengine.trace import Trace, TraceMiddleware

# The example of https://www.w3.org/TR/trace-context-1/
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
OTHER_ID = "105445aa7843bc8bf206b12000100000"


def test_traceparent_gives_trace_span_and_sampling() -> None:
    assert Trace.from_headers(TRACEPARENT) == Trace(TRACE_ID, SPAN_ID, sampled=True)
    assert Trace.from_headers(TRACEPARENT[:-2] + "00") == Trace(TRACE_ID, SPAN_ID, sampled=False)
    assert Trace.from_headers(TRACEPARENT[:-2] + "03").sampled


def test_the_cloud_header_counts_spans_in_decimal() -> None:
    found = Trace.from_headers(None, f"{TRACE_ID}/{int(SPAN_ID, 16)};o=1")
    assert found == Trace(TRACE_ID, SPAN_ID, sampled=True)


@pytest.mark.parametrize("rest", ["", "/0;o=0", "/18446744073709551616;o=0", ";o=0"])
def test_the_cloud_header_may_lack_a_span(rest: str) -> None:
    found = Trace.from_headers(None, TRACE_ID.upper() + rest)
    assert found.trace_id == TRACE_ID
    assert len(found.span_id) == 16
    assert not found.sampled


def test_traceparent_is_preferred_to_the_cloud_header() -> None:
    assert Trace.from_headers(TRACEPARENT, f"{OTHER_ID}/1;o=0").trace_id == TRACE_ID


def test_a_malformed_traceparent_leaves_the_cloud_header() -> None:
    assert Trace.from_headers("nonsense", f"{OTHER_ID}/1;o=0").trace_id == OTHER_ID


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"01-{TRACE_ID}-{SPAN_ID}-01more",
        f"00-{TRACE_ID[:-1]}g-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-\u0660\u0661",
        f"00-{TRACE_ID}-{SPAN_ID}-01,00-{OTHER_ID}-{SPAN_ID}-01",
    ],
)
def test_a_malformed_header_starts_a_new_trace(header: str) -> None:
    found = Trace.from_headers(header, header)
    assert found.trace_id not in (TRACE_ID, "0" * 32)
    assert found != Trace.from_headers(header, header)


def test_a_later_version_may_append_fields() -> None:
    assert Trace.from_headers(f"01-{TRACE_ID}-{SPAN_ID}-01-what-ever").trace_id == TRACE_ID


def test_what_an_outgoing_call_bears_is_the_place_it_was_made_in() -> None:
    assert Trace.from_headers(TRACEPARENT).traceparent == TRACEPARENT
    not_sampled = TRACEPARENT[:-2] + "00"
    assert Trace.from_headers(not_sampled).traceparent == not_sampled


def test_a_block_ends_with_the_trace_it_began_with() -> None:
    outer, inner = Trace.new(), Trace.new()
    with trace.activate(outer):
        with suppress(RuntimeError), trace.activate(inner):
            assert trace.current() == inner
            raise RuntimeError
        assert trace.current() == outer
    assert trace.current() is None


def test_a_thread_has_the_trace_of_the_context_copied_into_it() -> None:
    seen: list[Trace | None] = []
    with trace.activate(Trace.new()) as mine:
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(lambda: seen.append(trace.current()),)
        )
        thread.start()
        thread.join()
        assert asyncio.run(asyncio.to_thread(trace.current)) == mine
    assert seen == [mine]


def see(seen: list[Any]) -> Any:
    def view(_: HttpRequest) -> HttpResponse:
        seen.append(trace.current())
        return HttpResponse()

    return view


def test_a_request_runs_in_its_callers_trace_and_leaves_nothing_behind(rf: RequestFactory) -> None:
    seen: list[Any] = []
    TraceMiddleware(see(seen))(rf.get("/", headers={"traceparent": TRACEPARENT}))
    assert seen == [Trace(TRACE_ID, SPAN_ID, sampled=True)]
    assert trace.current() is None


def test_an_async_request_runs_in_its_callers_trace(rf: RequestFactory) -> None:
    seen: list[Any] = []

    async def view(request: HttpRequest) -> HttpResponse:
        return see(seen)(request)

    async def serve(middleware: Any, header: str) -> None:
        await middleware(rf.get("/", headers={"X-Cloud-Trace-Context": header}))
        assert trace.current() is None

    middleware = TraceMiddleware(view)
    assert iscoroutinefunction(middleware)
    asyncio.run(serve(middleware, f"{OTHER_ID}/1;o=1"))
    assert seen == [Trace(OTHER_ID, "0000000000000001", sampled=True)]


def test_requests_without_a_header_do_not_share_a_trace(rf: RequestFactory) -> None:
    seen: list[Any] = []
    for _ in range(2):
        TraceMiddleware(see(seen))(rf.get("/"))
    assert seen[0].trace_id != seen[1].trace_id


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("", "/"),
        ("_tasks/<str:queue>/<str:path>", "/_tasks/<str:queue>/<str:path>"),
        (r"^api/v1/app/(?P<app_id>[a-zA-Z0-9\-_.]{1,256})/msg/?$", "/api/v1/app/<app_id>/msg"),
    ],
)
def test_a_route_reads_as_a_path(route: str, path: str) -> None:
    assert trace.readable(route) == path
