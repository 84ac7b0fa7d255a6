"""One request over real sockets, to servers that behave well, badly and worse."""

import gzip
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apps.applications import addresses
from apps.deliveries import transport
from apps.deliveries.transport import LARGEST_RESPONSE, Result
from tests.conftest import Receiver

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\n"

type Answer = Callable[[socket.socket], None]


class RawServer:
    """Reads one request after the other from each connection and answers with bare bytes."""

    def __init__(self, answer: bytes | Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while request := self._read_request(connection):
                self.requests.append(request)
                if callable(self.answer):
                    self.answer(connection)
                else:
                    connection.sendall(self.answer)
                if not callable(self.answer) and b"Content-Length: 2\r" not in self.answer:
                    connection.shutdown(socket.SHUT_WR)

    @staticmethod
    def _read_request(connection: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (piece := connection.recv(65_536)):
                return b""
            request += piece
        head, _, body = request.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65_536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[[bytes | Answer], RawServer]]:
    """Starts raw servers: serve(bytes to answer), or serve(function that answers on a socket)."""
    servers: list[RawServer] = []

    def start(answer: bytes | Answer) -> RawServer:
        servers.append(RawServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


type Serve = Callable[[bytes | Answer], RawServer]


@pytest.fixture(autouse=True)
def _close_transport() -> Iterator[None]:
    yield
    transport.close()


def post(url: str, body: bytes = b"{}", **headers: str) -> Result:
    return transport.post(url, headers, body).result(10)


# What counts as success


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_2xx_is_success(status: int, serve: Serve) -> None:
    result = post(serve(f"HTTP/1.1 {status} Fine\r\n\r\n".encode()).url)
    assert (result.status_code, result.succeeded, result.error) == (status, True, "")


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize(
    "status", [300, 301, 302, 304, 399, 400, 401, 404, 410, 429, 500, 503, 599, 600, 999]
)
def test_anything_else_is_failure(status: int, serve: Serve) -> None:
    result = post(serve(f"HTTP/1.1 {status} No\r\n\r\n".encode()).url)
    assert (result.status_code, result.succeeded, result.error) == (status, False, "")


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, serve: Serve) -> None:
    elsewhere = serve(OK)
    location = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 2\r\n\r\nno"
    server = serve(location.encode())
    result = post(server.url)
    assert (result.status_code, result.succeeded, result.body) == (status, False, "no")
    assert (len(server.requests), len(elsewhere.connections)) == (1, 0)


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_an_informational_answer_is_not_the_answer(status: int, serve: Serve) -> None:
    informational = f"HTTP/1.1 {status} Wait\r\n\r\n".encode()
    assert post(serve(informational * 3 + OK).url).status_code == 200
    alone = post(serve(informational).url)
    assert (alone.status_code, alone.succeeded) == (0, False)


@pytest.mark.usefixtures("private_endpoints")
def test_an_upgrade_is_no_success(serve: Serve) -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    assert not post(serve(answer).url).succeeded


# What is sent


@pytest.mark.usefixtures("private_endpoints")
def test_the_request_is_the_body_and_the_headers_and_little_else(receiver: Receiver) -> None:
    post(receiver.url + "/", b'{"a":1}', **{"webhook-id": "msg_1"})
    (request,) = receiver.requests
    assert request.body == b'{"a":1}'
    assert request.headers.pop("user-agent").startswith("Waybill/")
    assert request.headers == {
        "host": receiver.url.removeprefix("http://"),
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": "7",
        "webhook-id": "msg_1",
    }


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 3, b"x" * 1_048_576], ids=["empty", "binary", "large"])
def test_the_body_arrives_byte_for_byte(body: bytes, receiver: Receiver) -> None:
    assert post(receiver.url + "/", body).succeeded
    assert receiver.requests[0].body == body


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("", "/"),
        ("/a?b=c&b=d&e", "/a?b=c&b=d&e"),
        ("/a#fragment", "/a"),
        ("/a?b#fragment", "/a?b"),
        ("/a%2Fb/%C3%BC?sig=a%2Bb%3D+c%26d;e", "/a%2Fb/%C3%BC?sig=a%2Bb%3D+c%26d;e"),
        ("/\u00fc?\u00fc", "/%C3%BC?%C3%BC"),
    ],
)
def test_the_path_and_query_arrive_as_written(given: str, sent: str, receiver: Receiver) -> None:
    assert post(receiver.url + given).succeeded
    assert receiver.paths() == [sent]


@pytest.mark.usefixtures("private_endpoints")
def test_a_host_with_other_letters_is_looked_up_in_its_ascii_form(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, asked = serve(OK), []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert post(f"http://b\u00fccher.example:{server.port}/").succeeded
    assert asked == ["xn--bcher-kva.example"]
    assert b"\r\nHost: xn--bcher-kva.example:" in server.requests[0]


@pytest.mark.usefixtures("private_endpoints")
def test_a_cookie_is_not_sent_back(serve: Serve) -> None:
    server = serve(HEAD + b"Set-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok")
    post(server.url)
    post(server.url)
    assert not any(b"cookie" in request.lower() for request in server.requests)


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "http://", "ftp://127.0.0.1/", "http://[::1", "http://127.0.0.1:99999/", "http://a..b/"],
)
def test_what_is_no_url_is_a_failure(url: str) -> None:
    result = post(url)
    assert (result.status_code, result.succeeded) == (0, False)
    assert result.error


@pytest.mark.usefixtures("private_endpoints")
def test_a_header_that_would_inject_another_is_not_sent(serve: Serve) -> None:
    server = serve(OK)
    result = post(server.url, **{"webhook-id": "a\r\nx-injected: b"})
    assert (result.status_code, server.requests) == (0, [])
    assert result.error


# Time


def slowly(pieces: Iterator[bytes]) -> Answer:
    """Sends a piece each 20 ms, which no per-read timeout would notice."""

    def answer(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.02)

    return answer


def drip(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield piece


NEVER_ENDING: dict[str, Answer] = {
    "silence": lambda _: time.sleep(5),
    "status line": slowly(drip(b"HTTP/1.1 200 ", b"O")),
    "header": slowly(drip(HEAD + b"X-Slow: ", b"x")),
    "headers": slowly(
        f"{line}\r\n".encode() for line in ["HTTP/1.1 200 OK", *(f"X-{n}: y" for n in range(120))] * 9
    ),
    "informational": slowly(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    "body": slowly(drip(HEAD + b"Content-Length: 30000\r\n\r\n", b"x")),
    "body until closed": slowly(drip(HEAD + b"\r\n", b"x")),
    "chunks": slowly(drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")),
    "chunk extension": slowly(drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x")),
    "trailers": slowly(drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: y\r\n")),
}


@pytest.fixture
def deadline(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(transport, "DEADLINE_S", 0.4)
    return 0.4


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("answer", NEVER_ENDING.values(), ids=NEVER_ENDING)
def test_the_deadline_holds_for_everything_that_drips(answer: Answer, deadline: float, serve: Serve) -> None:
    server = serve(answer)
    started = time.monotonic()
    result = post(server.url)
    assert time.monotonic() - started < 3 * deadline
    assert (result.status_code, result.succeeded) == (0, False)
    assert result.error == "no complete answer within 0.4 s"
    assert 0.9 * deadline < result.duration_ms / 1000 < 3 * deadline


@pytest.mark.usefixtures("private_endpoints", "deadline")
def test_the_deadline_holds_for_a_server_that_does_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        result = post(f"http://127.0.0.1:{listener.getsockname()[1]}/", b"x" * 1_048_576)
    assert result.error == "no complete answer within 0.4 s"


@pytest.mark.usefixtures("private_endpoints", "deadline")
def test_the_deadline_holds_for_tls(serve: Serve) -> None:
    server = serve(lambda _: None)
    result = post(server.url.replace("http:", "https:"))
    assert result.error == "no complete answer within 0.4 s"


@pytest.mark.usefixtures("private_endpoints", "deadline")
def test_the_deadline_holds_for_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1))
    assert post("http://slow.example/").error == "no complete answer within 0.4 s"


@pytest.mark.usefixtures("private_endpoints")
def test_invariant_5_silent_endpoints_delay_no_other(serve: Serve, receiver: Receiver) -> None:
    silent = serve(NEVER_ENDING["silence"])
    waiting = [transport.post(silent.url, {}, b"{}") for _ in range(100)]
    started = time.monotonic()
    assert post(receiver.url).succeeded
    assert time.monotonic() - started < 2
    assert not any(one.done() for one in waiting)


@pytest.mark.usefixtures("private_endpoints")
def test_invariant_5_dead_name_servers_delay_no_other(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, end = socket.getaddrinfo, threading.Event()

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        return end.wait(5) if host.startswith("dead") else real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for number in range(transport.RESOLVER_THREADS - 1):
        transport.post(f"http://dead{number}.example/", {}, b"{}")
    assert post(receiver.url.replace("127.0.0.1", "localhost")).succeeded
    end.set()


# Size


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("head", [b"\r\n", b"Content-Length: 99999999\r\n\r\n"], ids=["endless", "declared"])
def test_an_endless_body_is_read_up_to_the_cap_and_no_further(head: bytes, serve: Serve) -> None:
    sent = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + head)
        for _ in range(800):  # 50 MB
            connection.sendall(b"x" * 65_536)
            sent.append(65_536)

    result = post(serve(answer).url)
    assert (result.status_code, result.body) == (200, "x" * LARGEST_RESPONSE)
    assert result.duration_ms < 2000
    assert sum(sent) < 20_000_000, "the rest stays in the buffers of the sockets"


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_body_around_the_cap_is_kept_up_to_it(extra: int, serve: Serve) -> None:
    body = b"x" * (LARGEST_RESPONSE + extra)
    result = post(serve(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body).url)
    assert result.body == body[:LARGEST_RESPONSE].decode()


@pytest.mark.usefixtures("private_endpoints")
def test_bytes_that_are_no_text_are_kept_as_far_as_they_are(serve: Serve) -> None:
    body = b"\x00\xff\xfe ok \xf0\x9f\xa6"
    result = post(serve(HEAD + b"Content-Length: 10\r\n\r\n" + body).url)
    assert result.body == "\x00\ufffd\ufffd ok \ufffd"


@pytest.mark.usefixtures("private_endpoints")
def test_a_compressed_body_is_not_unpacked(serve: Serve) -> None:
    """A few kilobytes may unpack to gigabytes. Nobody asked for it, either: see Accept-Encoding above."""
    bomb = gzip.compress(b"0" * 5_000_000)
    head = HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    result = post(serve(head + bomb).url)
    assert result.succeeded
    assert len(result.body) <= len(bomb)


# Answers that are none

BROKEN = {
    "nothing": b"",
    "no HTTP": b"220 smtp.example.com ESMTP\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "no status": b"HTTP/1.1\r\n\r\n",
    "status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "negative status": b"HTTP/1.1 -200 OK\r\n\r\n",
    "cut in the status line": b"HTTP/1.1 20",
    "cut in the headers": HEAD + b"Content-Le",
    "header without a name": HEAD + b": value\r\n\r\n",
    "header without a colon": HEAD + b"value\r\n\r\n",
    "NUL in a header": HEAD + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "long header": HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    "long header name": HEAD + b"x" * 100_000 + b": y\r\n\r\n",
    "long reason": b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": HEAD + b"X: y\r\n" * 100_000 + b"\r\n",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "length of letters": HEAD + b"Content-Length: ten\r\n\r\n",
    "huge length": HEAD + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
    "negative chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "huge chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 100 + b"\r\nx\r\n",
    "cut in a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nx",
    "cut between chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    "cut in the body": HEAD + b"Content-Length: 10\r\n\r\nx",
}


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_a_failure_that_says_why(answer: bytes, serve: Serve) -> None:
    result = post(serve(answer).url)
    assert (result.status_code, result.succeeded, result.body) == (0, False, "")
    assert 10 < len(result.error) < 1000


ODD = {
    "a cookie that is none": HEAD + b"Set-Cookie: \xff=;;=\r\nContent-Length: 2\r\n\r\nok",
    "a header of bytes": HEAD + b"X: \xff\xfe\r\nContent-Length: 2\r\n\r\nok",
    "an unknown encoding": HEAD + b"Content-Encoding: zzz\r\nContent-Length: 2\r\n\r\nok",
    "gzip that is none": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    "an unknown charset": HEAD + b"Content-Type: text/plain; charset=zzz\r\nContent-Length: 2\r\n\r\nok",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
    "a body until the end": HEAD + b"Connection: close\r\n\r\nok",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;a=b\r\nk\r\n0\r\nX-Trailer: y\r\n\r\n",
}


@pytest.mark.usefixtures("private_endpoints")
@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_answer_is_an_answer(answer: bytes, serve: Serve) -> None:
    result = post(serve(answer).url)
    assert (result.status_code, result.body, result.error) == (200, "ok", "")


@pytest.mark.usefixtures("private_endpoints")
def test_retry_after_is_handed_on(serve: Serve) -> None:
    assert post(serve(OK).url).retry_after is None
    answer = b"HTTP/1.1 503 No\r\nretry-after: 120\r\nContent-Length: 2\r\n\r\nno"
    assert post(serve(answer).url).retry_after == "120"


@pytest.mark.usefixtures("private_endpoints")
def test_nobody_listening_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = post(f"http://127.0.0.1:{port}/")
    assert (result.status_code, result.succeeded) == (0, False)
    assert "Connect" in result.error


@pytest.mark.usefixtures("private_endpoints")
def test_a_reset_in_the_middle_of_the_body_is_a_failure(serve: Serve) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nsome")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    result = post(serve(answer).url)
    assert (result.status_code, result.succeeded) == (0, False)
    assert result.error


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A TLS server's context, whose certificate for 127.0.0.1 nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "pem").write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    return context


@pytest.mark.usefixtures("private_endpoints")
def test_a_certificate_nobody_vouches_for_is_a_failure_and_is_told_nothing(
    self_signed: ssl.SSLContext,
) -> None:
    heard = []

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with suppress(OSError), self_signed.wrap_socket(connection, server_side=True) as secure:
            heard.append(secure.recv(1000))
            secure.sendall(OK)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(answer, listener)
        result = post(f"https://localhost:{listener.getsockname()[1]}/")
    assert (result.status_code, result.succeeded) == (0, False)
    assert "certificate" in result.error.lower()
    assert not any(heard)


@pytest.mark.usefixtures("private_endpoints")
def test_tls_to_a_server_without_it_is_a_failure(serve: Serve) -> None:
    server = serve(lambda connection: connection.sendall(OK))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, server.url.replace("http:", "https:"))
        while not server.connections:
            time.sleep(0.01)
        server.connections[0].sendall(OK)
        result = waiting.result(10)
    assert (result.status_code, result.succeeded) == (0, False)
    assert result.error


# Connections


@pytest.mark.usefixtures("private_endpoints")
def test_a_connection_is_used_again(serve: Serve) -> None:
    server = serve(OK)
    assert all(post(server.url).succeeded for _ in range(3))
    assert (len(server.requests), len(server.connections)) == (3, 1)


@pytest.mark.usefixtures("private_endpoints")
def test_a_connection_that_the_server_closed_is_not_used_again(serve: Serve) -> None:
    server = serve(OK)
    assert post(server.url).succeeded
    server.connections[0].shutdown(socket.SHUT_RDWR)
    time.sleep(0.1)
    assert post(server.url).succeeded
    assert len(server.connections) == 2


@pytest.mark.usefixtures("private_endpoints")
def test_a_connection_with_something_left_to_read_is_not_used_again(serve: Serve) -> None:
    body = b"x" * (LARGEST_RESPONSE * 8)
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    server = serve(lambda connection: connection.sendall(head + body))
    assert all(post(server.url).body == "x" * LARGEST_RESPONSE for _ in range(2))
    assert len(server.connections) == 2


@pytest.mark.usefixtures("private_endpoints")
def test_the_first_requests_of_a_process_may_come_from_many_threads_at_once(serve: Serve) -> None:
    server = serve(OK)
    for _ in range(20):
        transport.close()
        together = threading.Barrier(8)

        def first(together: threading.Barrier = together) -> Result:
            together.wait()
            return post(server.url)

        with ThreadPoolExecutor(8) as pool:
            results = [one.result(10) for one in [pool.submit(first) for _ in range(8)]]
        assert {result.status_code for result in results} == {200}
        assert sum(thread.name == "transport" for thread in threading.enumerate()) == 1


AFTER_A_FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")  # Python warns of forks beside threads: the child does not use the thread
import django; django.setup()
from apps.deliveries import transport
assert transport.post(sys.argv[1], {}, b"{}").result(10).succeeded
child = os.fork()
if not child:
    os._exit(0 if transport.post(sys.argv[1], {}, b"{}").result(10).succeeded else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_worker_forked_after_the_first_request_can_send(serve: Serve) -> None:
    server = serve(OK)
    environment = {"DJANGO_SETTINGS_MODULE": "mysite.settings.test", "WAYBILL_ALLOW_PRIVATE_ENDPOINTS": "1"}
    command = [sys.executable, "-c", AFTER_A_FORK, server.url]
    subprocess.run(command, check=True, timeout=30, env=environment, cwd=Path(__file__).parents[3])
    assert len(server.requests) == 2


# Reach


@pytest.fixture
def loopback() -> Iterator[socket.socket]:
    """Somebody who listens on every address of this machine."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(0.05)
        yield listener


def is_dialled(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return False
    return True


INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "[::1]",
    "localhost",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "0.0.0.0",
    "[::]",
    "0",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "%31%32%37.0.0.1",
    "\uff11\uff12\uff17.0.0.1",  # full-width digits
    "127\u30020\u30020\u30021",  # ideographic full stops
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "[fe80::1%25lo]",
    "[fd00:ec2::254]",
]


def test_the_listener_of_these_tests_can_be_dialled(settings: Any, loopback: socket.socket) -> None:
    settings.WAYBILL_ALLOW_PRIVATE_ENDPOINTS = True
    for host in ("127.0.0.1", "[::1]", "localhost", "0x7f.1"):
        waiting = transport.post(f"http://{host}:{loopback.getsockname()[1]}/", {}, b"{}")
        loopback.settimeout(5)
        assert is_dialled(loopback), host
        assert not waiting.result(10).succeeded


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_invariant_7_nothing_inside_the_servers_network_is_dialled(
    scheme: str, host: str, loopback: socket.socket
) -> None:
    result = post(f"{scheme}://{host}:{loopback.getsockname()[1]}/")
    assert (result.status_code, result.succeeded) == (0, False)
    assert not is_dialled(loopback)


def test_invariant_7_a_private_address_is_named_as_the_reason(loopback: socket.socket) -> None:
    result = post(f"http://127.0.0.1:{loopback.getsockname()[1]}/")
    assert "127.0.0.1 is not a public address" in result.error


def test_invariant_7_a_name_that_is_rebound_after_creation_is_not_dialled(
    loopback: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, answers = socket.getaddrinfo, iter(["8.8.8.8", "127.0.0.1", "::1"])

    def resolve(_: str, port: int | None, *__: Any, **___: Any) -> Any:
        return real(next(answers), port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"http://rebound.example:{loopback.getsockname()[1]}/"
    addresses.check_url(url)
    for _ in range(2):
        assert "not a public address" in post(url).error
        transport.close()  # forgets the name
    assert not is_dialled(loopback)


def unknown_to_the_name_server(*_: Any, **__: Any) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.usefixtures("private_endpoints")
def test_invariant_7_no_proxy_of_the_environment_resolves_and_dials_for_us(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(OK)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setattr(socket, "getaddrinfo", unknown_to_the_name_server)
    result = post("http://name.invalid/")
    assert (result.status_code, proxy.connections) == (0, [])
