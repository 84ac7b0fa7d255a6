"""The process: what it says when it cannot start."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.appengine.local.preflight import free_port
from tests.unit.appengine.local.datastore.served import Served

MODULE = "apps.appengine.local.datastore"


def failed(*options: str) -> str:
    """What a start that cannot be says on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", MODULE, *options], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_taken_port_is_one_sentence(served: Served) -> None:
    port = served.host.split(":")[1]

    assert f"cannot listen on 127.0.0.1:{port}" in failed("--port", port)


def test_an_address_of_another_machine_is_one_sentence() -> None:
    assert "cannot listen on 192.0.2.1" in failed("--host", "192.0.2.1", "--port", "1")


@pytest.mark.parametrize("text", ["a: [", "indexes: 5", "indexes:\n- kind: K\n"])
def test_nonsense_in_index_yaml_is_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "index.yaml"
    file.write_text(text)

    assert "index.yaml" in failed("--port", "0", "--indexes", str(file))


def test_an_index_yaml_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    assert "No such file" in failed("--port", "0", "--indexes", str(tmp_path / "index.yaml"))


def test_a_file_of_something_else_is_one_sentence_and_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "diary"
    file.write_text("dear diary, " * 100)

    assert str(file) in failed("--port", "0", "--file", str(file))
    assert file.read_text() == "dear diary, " * 100


def test_a_folder_for_a_file_is_one_sentence(tmp_path: Path) -> None:
    assert str(tmp_path) in failed("--port", "0", "--file", str(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_everything_in_one_file(tmp_path: Path, number: signal.Signals) -> None:
    file, port = tmp_path / "datastore.sqlite3", free_port()
    command = [sys.executable, "-m", MODULE, "--port", str(port), "--file", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == f"datastore: gRPC on 127.0.0.1:{port}, {file}\n"
        process.send_signal(number)
        assert process.wait(20) == 0

    assert [each.name for each in tmp_path.iterdir()] == [file.name]
