"""The README's first message, word for word: only the addresses are the test's."""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from apps.appengine.local.preflight import free_port
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("datastore", "private_endpoints"),
]


def block(language: str, containing: str) -> str:
    """The README's block of that language with these words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


@pytest.fixture
def typed(
    tmp_path: Path, api_key: str, live_server: LiveServer, receiver: Receiver
) -> Callable[[list[str], str], str]:
    """Runs a block in a folder with the key where `make run` puts it, and returns what it printed."""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/api-key").write_text(f"{api_key}\n")

    def run(command: list[str], text: str) -> str:
        assert "http://localhost:8080" in text
        text = text.replace("http://localhost:8080", live_server.url)
        text = text.replace("http://localhost:9000", receiver.url)
        done = subprocess.run(command, input=text, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_commands_of_the_readme_send_a_message(
    typed: Callable[[list[str], str], str], receiver: Receiver, tasks: DrainingBackend
) -> None:
    commands = block("sh", "post app")
    typed(["bash", "-eu"], commands)
    tasks.drain()
    (request,) = receiver.requests
    assert (request.path, request.body) == ("/webhooks", b'{"amount":4200}')
    *_, attempts = commands.strip().splitlines()
    key, *_ = commands.splitlines()
    assert '"responseStatusCode":200' in typed(["bash", "-eu"], f"{key}\n{attempts}")


def test_the_python_of_the_readme_sends_a_message(
    typed: Callable[[list[str], str], str], receiver: Receiver, tasks: DrainingBackend
) -> None:
    printed = typed([sys.executable, "-"], block("python", "svix.api"))
    tasks.drain()
    (request,) = receiver.requests
    assert request.body == b'{"amount":4200}'
    assert "whsec_" in printed


def test_the_receiver_of_the_readme_prints_what_arrives() -> None:
    port = free_port()
    program = block("sh", "class Receiver").replace("9000", str(port))
    program = program.partition("<<'END'\n")[2].rpartition("END\n")[0]
    command = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as receiver:
        try:
            assert post(f"http://127.0.0.1:{port}/webhooks", b'{"amount":4200}') == 204
            assert receiver.stdout
            assert receiver.stdout.readline() == "msg_1 b'{\"amount\":4200}'\n"
        finally:
            receiver.terminate()


def post(url: str, body: bytes, seconds: float = 10) -> int:
    """The status, once somebody listens. Raises URLError when nobody does in time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            request = urllib.request.Request(url, body, {"webhook-id": "msg_1"})
            with urllib.request.urlopen(request) as response:
                return int(response.status)
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
