"""Runs commands, each printed first; a dry run prints them and runs none.

A child has a process group of its own: Ctrl-C reaches this program alone, which ends the child it waits
for and then undoes in peace.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO

from apps.appengine.deploy.command import Command

STOP_S = 30.0  # a child that was interrupted has this long to end by itself; terraform saves its state


class FailedError(Exception):
    """The release cannot go on; the message says why, and what to do."""


class SignalledError(BaseException):
    """Somebody wants the program to end (Ctrl-C, SIGTERM). Not an Exception: nothing swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"Interrupted by {signal.Signals(number).name}.")
        self.number = number


class Shell:
    """Where commands run, and what people read."""

    def __init__(self, *, dry: bool, out: TextIO | None = None) -> None:
        self.dry = dry
        self.out = out or sys.stdout
        self.margin = ""

    def say(self, text: str = "") -> None:
        """Print a line; in a dry run as a comment, so that the plan is a shell script."""
        for line in text.split("\n"):
            self._print("# " + line if self.dry and line else line)

    def show(self, line: str) -> None:
        """Print a command's line."""
        self._print((self.margin if self.dry else self.margin + "+ ") + line)

    def _print(self, line: str) -> None:
        # Who reads may be gone (a closed pipe); what must be undone is undone all the same.
        with suppress(OSError, ValueError):
            print(line, file=self.out, flush=True)

    @contextmanager
    def indented(self, margin: str) -> Iterator[None]:
        """Print commands behind a margin."""
        before, self.margin = self.margin, margin
        try:
            yield
        finally:
            self.margin = before

    def run(self, command: Command, well: tuple[int, ...] = (0,)) -> int:
        """Run it to its end; its output is shown, or goes into its file. Raises FailedError.

        Returns the exit code, one of `well`; in a dry run the last of them.
        """
        self.show(str(command))
        if self.dry:
            return well[-1]
        with written(command.output) as out:
            code = finish(start(command, stdout=out))
            if code not in well:
                raise FailedError(f"`{command}` ended with exit code {code}.")
        return code

    def ask(self, command: Command, variable: str = "") -> str:
        """What it prints. Raises FailedError with what it says for an error.

        A dry run answers with a shell variable of that name, and its plan sets it.
        """
        self.show(f"{variable}=$({command})" if self.dry and variable else str(command))
        if self.dry:
            return f"${variable}" if variable else ""
        process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, errors = process.communicate()
        except BaseException:
            stop(process)
            raise
        if process.returncode:
            raise FailedError(
                f"`{command}` ended with exit code {process.returncode}: {errors.strip() or 'no word'}"
            )
        return str(output).strip()

    def ask_json(self, command: Command, unknown: Any) -> Any:
        """The JSON it prints; `unknown` in a dry run. Raises FailedError."""
        answer = self.ask(command)
        if self.dry:
            return unknown
        try:
            return json.loads(answer or "null")
        except ValueError as error:
            raise FailedError(f"`{command}` printed no JSON: {answer[:200]!r}") from error

    @contextmanager
    def beside(self, command: Command) -> Iterator[None]:
        """Run the block while the command runs beside it; it is stopped in any case."""
        self.show(f"{command} &")
        if self.dry:
            yield
            self.show("kill $!")
            return
        process = start(command)
        try:
            yield
        finally:
            stop(process)

    def write(self, path: Path, text: str) -> None:
        """Write a file, shown as the command that would."""
        self.run(Command(("printf", "%s", text), output=path))


def start(
    command: Command, stdout: int | IO[str] | None = None, stderr: int | None = None
) -> subprocess.Popen[str]:
    """Start it. Raises FailedError when the program is missing."""
    try:
        return subprocess.Popen(
            command.words,
            env=os.environ | command.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            process_group=0,
        )
    except OSError as error:
        raise FailedError(f"`{command.words[0]}` cannot be started: {error.strerror}.") from error


def finish(process: subprocess.Popen[str]) -> int:
    """Its exit code; interrupted, the process goes first."""
    try:
        return process.wait()
    except BaseException:
        stop(process)
        raise


def stop(process: subprocess.Popen[str]) -> None:
    """End the process and what it started."""
    for number, seconds in ((signal.SIGINT, STOP_S), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


@contextmanager
def written(path: Path | None) -> Iterator[IO[str] | None]:
    """A file that is there when the block ends well, and as it was otherwise."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            yield file
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    temporary.replace(path)
