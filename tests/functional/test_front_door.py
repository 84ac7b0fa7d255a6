"""The front door before a real gunicorn: what App Engine's front end does to a request, and no more."""

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A WSGI application that shows what reached it. /hold waits half way until a file exists.
APPLICATION = """
import gzip, json, os, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/redirect":
        cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
        start_response("302 Found", [("Location", "/elsewhere"), *cookies])
        return [b""]
    if path == "/gzip":
        start_response("200 OK", [("Content-Encoding", "gzip"), ("Content-Type", "text/plain")])
        return [gzip.compress(b"packed")]
    if path == "/hold":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return hold(environ["QUERY_STRING"])
    if path == "/none":
        start_response("204 No Content", [])
        return [b""]
    if path == "/break":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
        return [b"half"]
    if path == "/die":
        os.kill(os.getpid(), 9)
    if path == "/first-bytes":
        start_response("200 OK", [("Content-Type", "text/plain")])
        open(environ["QUERY_STRING"], "wb").write(environ["wsgi.input"].read(5))
        return [environ["wsgi.input"].read()]
    body = environ["wsgi.input"].read()
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen | {"size": len(body), "body": body[:100].decode("latin-1")}).encode()]

def hold(name):
    yield b"first"
    while not os.path.exists(name):
        time.sleep(0.01)
    yield b"second"
"""
APP_YAML = """
entrypoint: gunicorn stand_in:app
handlers:
- url: /static
  static_dir: files
  expiration: 1h 30m
- url: /.*
  script: auto
"""


@contextmanager
def running(
    command: list[str], cwd: Path, pass_fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=cwd, env=environment(), pass_fds=pass_fds
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def gunicorn(address: Path) -> list[str]:
    options = [
        "--worker-class",
        "gthread",
        "--threads",
        "4",
        "--log-level",
        "error",
        "--graceful-timeout",
        "1",
    ]
    return ["gunicorn", *options, "--bind", f"unix:{address}", "stand_in:app"]


def front_door(listening: socket.socket, app: Path, *more: str) -> list[str]:
    fd = str(listening.fileno())
    return ["apps.appengine.local.front_door", "--fd", fd, "--app", f"unix:{app}", *more]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Short enough for a socket's address, with the stand-in application and its files."""
    with tempfile.TemporaryDirectory(prefix="door-") as name:
        home = Path(name)
        (home / "stand_in.py").write_text(APPLICATION)
        (home / "app.yaml").write_text(APP_YAML)
        (home / "files").mkdir()
        (home / "files/site.css").write_text("body {}")
        (home / "secret.txt").write_text("not to be served")
        yield home


@pytest.fixture(scope="module")
def port(home: Path) -> Iterator[int]:
    """The front door's, with gunicorn behind it; gunicorn serves the page `mirror` as well."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        door = front_door(listening, home / "web", "--page", f"mirror=unix:{home / 'web'}")
        with running(gunicorn(home / "web"), home), running(door, home, (listening.fileno(),)):
            yield listening.getsockname()[1]


@contextmanager
def connection(port: int) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        yield opened
    finally:
        opened.close()


def ask(
    port: int,
    path: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[http.client.HTTPResponse, bytes]:
    with connection(port) as opened:
        opened.request(method, path, body=body, headers=headers or {})
        response = opened.getresponse()
        return response, response.read()


def seen(port: int, headers: dict[str, str] | None = None, path: str = "/echo") -> dict[str, str]:
    """What the application got of a request with these headers."""
    environ: dict[str, str] = json.loads(ask(port, path, headers=headers)[1])
    return environ


@pytest.mark.parametrize(
    "name",
    [
        "X-AppEngine-QueueName",
        "x-appengine-cron",
        "X_AppEngine_QueueName",
        "X-Appengine_Cron",
        "X-Google-Internal",
    ],
)
def test_headers_that_only_app_engine_may_set_do_not_come_in_from_outside(port: int, name: str) -> None:
    environ = seen(port, {name: "forged", "X-Mine": "kept"})
    assert environ["HTTP_X_MINE"] == "kept"
    assert "forged" not in environ.values()


def test_the_app_learns_the_client_and_the_scheme_from_the_front_door(port: int) -> None:
    environ = seen(
        port, {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9", "Host": "shop.localhost"}
    )
    assert environ["HTTP_X_FORWARDED_PROTO"] == "http"
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.9, 127.0.0.1"
    assert environ["HTTP_HOST"] == "shop.localhost"


def test_every_request_has_a_trace_and_a_clients_own_is_kept(port: int) -> None:
    made = seen(port)
    trace_id, span = made["HTTP_TRACEPARENT"].split("-")[1:3]
    assert made["HTTP_X_CLOUD_TRACE_CONTEXT"].startswith(f"{trace_id}/{int(span, 16)}")
    mine = f"00-{'ab' * 16}-{'cd' * 8}-01"
    kept = seen(port, {"traceparent": mine})
    assert kept["HTTP_TRACEPARENT"] == mine
    assert kept["HTTP_X_CLOUD_TRACE_CONTEXT"] == f"{'ab' * 16}/{int('cd' * 8, 16)};o=1"
    assert seen(port)["HTTP_TRACEPARENT"] != made["HTTP_TRACEPARENT"]


def test_headers_of_one_connection_are_not_passed_on(port: int) -> None:
    environ = seen(
        port, {"Connection": "close, X-Hop", "X-Hop": "1", "Upgrade": "websocket", "TE": "trailers"}
    )
    assert not {"HTTP_X_HOP", "HTTP_UPGRADE", "HTTP_TE"} & environ.keys()


def test_path_and_query_arrive_as_they_were_sent(port: int) -> None:
    environ = seen(port, path="/a%2Fb//c%20d?x=%26&y=1+2")
    assert environ["RAW_URI"] == "/a%2Fb//c%20d?x=%26&y=1+2"


def test_an_answer_is_neither_unpacked_nor_followed(port: int) -> None:
    packed, body = ask(port, "/gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == b"packed"
    redirect, _ = ask(port, "/redirect")
    assert (redirect.status, redirect.headers["Location"]) == (302, "/elsewhere")
    assert redirect.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_an_answer_without_a_body_leaves_the_connection_usable(port: int) -> None:
    with connection(port) as opened:
        for method, path, status in [("HEAD", "/echo", 200), ("GET", "/none", 204), ("GET", "/echo", 200)]:
            opened.request(method, path)
            response = opened.getresponse()
            assert (response.status, bool(response.read())) == (status, path == "/echo" and method == "GET")


def test_an_answer_is_passed_on_while_it_is_made(port: int, tmp_path: Path) -> None:
    with connection(port) as opened:
        opened.request("GET", f"/hold?{tmp_path / 'go'}")
        response = opened.getresponse()
        assert response.read1() == b"first"
        (tmp_path / "go").touch()
        assert response.read() == b"second"


def test_a_body_is_passed_on_while_it_is_sent(port: int, tmp_path: Path) -> None:
    arrived = tmp_path / "arrived"
    with connection(port) as opened:
        opened.putrequest("POST", f"/first-bytes?{arrived}")
        opened.putheader("Content-Length", "10")
        opened.endheaders(b"12345")
        wait_for(arrived)
        opened.send(b"67890")
        assert opened.getresponse().read() == b"67890"


def test_a_body_of_unknown_length_arrives_whole(port: int) -> None:
    with connection(port) as opened:
        opened.request(
            "POST",
            "/echo",
            body=iter([b"one", b"two"]),
            encode_chunked=True,
            headers={"Transfer-Encoding": "chunked"},
        )
        assert json.loads(opened.getresponse().read())["body"] == "onetwo"


def test_a_packed_body_is_not_unpacked(port: int) -> None:
    body = gzip.compress(b"x" * 1000)
    environ = json.loads(ask(port, "/echo", "POST", {"Content-Encoding": "gzip"}, body)[1])
    assert environ["body"].encode("latin-1") == body
    assert "CONTENT_TYPE" not in environ


def test_a_body_over_32_megabytes_is_refused_with_and_without_its_length(port: int) -> None:
    megabyte = b"x" * 2**20
    announced = {"Content-Length": str(32 * 2**20 + 1)}
    with connection(port) as opened:
        opened.request("POST", "/api/v1/echo", headers=announced)
        response = opened.getresponse()
        assert (response.status, json.loads(response.read())["code"]) == (413, "request_too_large")
    with connection(port) as opened:
        opened.request(
            "POST",
            "/echo",
            body=iter([megabyte] * 32),
            encode_chunked=True,
            headers={"Transfer-Encoding": "chunked"},
        )
        assert json.loads(opened.getresponse().read())["size"] == 32 * 2**20
    with connection(port) as opened:
        opened.request(
            "POST",
            "/echo",
            body=iter([megabyte] * 32 + [b"x"]),
            encode_chunked=True,
            headers={"Transfer-Encoding": "chunked"},
        )
        assert opened.getresponse().status == 413


def test_an_answer_that_breaks_off_does_not_look_whole(port: int) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(port, "/break")


def test_static_handlers_of_app_yaml_are_served_without_the_app(port: int) -> None:
    response, body = ask(port, "/static/site.css")
    assert (response.status, body) == (200, b"body {}")
    assert response.headers["Cache-Control"] == "public, max-age=5400"
    again, _ = ask(port, "/static/site.css", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status == 304
    assert ask(port, "/static/site.css", "POST")[0].status == 405
    for missing in [
        "/static/none.css",
        "/static/",
        "/static/../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/%00",
    ]:
        assert ask(port, missing)[0].status == 404, missing


def test_local_pages_are_shown_to_local_names_only(port: int) -> None:
    assert seen(port, path="/_local/mirror/a?b=1")["RAW_URI"] == "/a?b=1"
    moved, _ = ask(port, "/_local/mirror")
    assert (moved.status, moved.headers["Location"]) == (308, "/_local/mirror/")
    assert ask(port, "/_local/mirror/", headers={"Host": "rebound.example"})[0].status == 404
    assert ask(port, "/_local/unknown/")[0].status == 404


def test_an_app_that_dies_with_a_request_makes_a_502_in_the_callers_language(port: int) -> None:
    response, body = ask(port, "/die")
    assert response.status == 502
    assert b"is down: it ended" in body


def test_a_request_waits_for_an_app_that_is_being_restarted(home: Path) -> None:
    """And is answered 502 when it does not come; the API's callers get JSON."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with running(front_door(listening, home / "late"), home, (listening.fileno(),)):
            response, body = ask(port, "/api/v1/echo")
            assert response.status == 502
            assert json.loads(body)["code"] == "bad_gateway"
            answers: list[int] = []
            waiting = threading.Thread(
                target=lambda: answers.append(ask(port, "/echo", "POST", body=b"x")[0].status)
            )
            waiting.start()
            time.sleep(0.3)
            with running(gunicorn(home / "late"), home):
                waiting.join(10)
            assert answers == [200]


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 10
    while not file.exists():
        assert time.monotonic() < deadline, f"{file.name} did not appear"
        time.sleep(0.01)
