import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from apps.appengine.deploy.command import command, gcloud, listed
from apps.appengine.deploy.shell import FailedError, Shell, SignalledError


def shell(*, dry: bool = False) -> Shell:
    return Shell(dry=dry, out=io.StringIO())


def words(of: Shell) -> str:
    assert isinstance(of.out, io.StringIO)
    return of.out.getvalue()


def test_a_command_is_printed_as_a_shell_would_read_it() -> None:
    told = command("program", "two words", "$VERSION", 'a="$VERSION"', output=Path("file"), NAME="x y")
    assert str(told) == """NAME='x y' program 'two words' "$VERSION" "a=\\"$VERSION\\"" > file"""


@pytest.mark.parametrize(
    "word", ["$VERSION", 'say="$VERSION"', "tick`$VERSION", "back\\$VERSION", "it's $VERSION"]
)
def test_a_variable_in_a_word_is_filled_in_and_nothing_else(word: str) -> None:
    printed = subprocess.run(
        ["bash", "-c", str(command("printf", "%s", word))],
        env={"VERSION": "v1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == word.replace("$VERSION", "v1")


def test_gcloud_names_its_project_and_asks_nobody() -> None:
    assert str(gcloud("p", "app", "deploy")) == "gcloud app deploy --project=p --quiet"
    assert listed({"a": 1, "b": 0.5}) == "a=1,b=0.5"


def test_a_dry_run_prints_and_runs_nothing(tmp_path: Path) -> None:
    dry = shell(dry=True)
    dry.run(command("touch", tmp_path / "made"))
    dry.write(tmp_path / "written", "text")
    assert dry.ask(command("date"), variable="NOW") == "$NOW"
    assert dry.ask_json(command("date"), unknown=[1]) == [1]
    with dry.beside(command("sleep", 9)):
        pass
    assert list(tmp_path.iterdir()) == []
    assert "NOW=$(date)" in words(dry)
    assert words(dry).endswith("sleep 9 &\nkill $!\n")


def test_a_failure_names_the_command_its_code_and_what_it_said() -> None:
    with pytest.raises(FailedError, match="`false` ended with exit code 1"):
        shell().run(command("false"))
    with pytest.raises(FailedError, match="exit code 3: no luck"):
        shell().ask(command("sh", "-c", "echo no luck >&2; exit 3"))
    with pytest.raises(FailedError, match="`no-such-program` cannot be started"):
        shell().run(command("no-such-program"))
    with pytest.raises(FailedError, match="printed no JSON: 'x'"):
        shell().ask_json(command("echo", "x"), unknown=None)
    assert shell().run(command("sh", "-c", "exit 2"), well=(0, 2)) == 2


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "folder/file"
    shell().write(file, "first")
    with pytest.raises(FailedError):
        shell().run(command("sh", "-c", "echo second; exit 1", output=file))
    assert file.read_text() == "first"
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_what_runs_beside_ends_with_the_block_also_when_it_fails(tmp_path: Path) -> None:
    script = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    file = tmp_path / "pid"

    def fail_beside_it() -> None:
        with shell().beside(command("env", "-C", tmp_path, sys.executable, "-c", script)):
            while not file.exists() or not file.read_text():
                time.sleep(0.01)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_beside_it()
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_a_signal_ends_the_child_that_is_waited_for(tmp_path: Path) -> None:
    def end(number: int, frame: object) -> None:
        raise SignalledError(number)

    before = signal.signal(signal.SIGUSR1, end)
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGUSR1])
    try:
        timer.start()
        with pytest.raises(SignalledError, match="SIGUSR1"):
            shell().run(command("sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 601"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
