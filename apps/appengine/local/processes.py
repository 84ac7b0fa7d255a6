"""Keeps one program running: started again when it dies, ended with its whole process group."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .console import Console

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds before a restart, doubled each time
STABLE_SECONDS = 10.0  # who lived this long starts again at the first delay
LONGEST_LINE = 2**20  # bytes
LOG_LINES_SHOWN = 15
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to start. The output of a noisy one goes to `log` and is shown when it dies."""

    name: str
    command: list[str]
    environment: dict[str, str]
    fds: tuple[int, ...] = ()
    log: Path | None = None
    stop_seconds: float = 3.0


class Child:
    """One program, running again and again until `stop`."""

    def __init__(self, program: Program, console: Console) -> None:
        self.program = program
        self._console = console
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._running = asyncio.create_task(self._keep_running())

    async def _keep_running(self) -> None:
        loop, delay = asyncio.get_running_loop(), FIRST_DELAY
        while not self._stopping.is_set():
            began = loop.time()
            try:
                outcome = ending(await self._run())
            except OSError as error:  # no such program
                outcome = str(error)
            if self._stopping.is_set():
                return
            delay = FIRST_DELAY if loop.time() - began > STABLE_SECONDS else delay
            self._report(outcome, delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _run(self) -> int:
        log = self.program.log
        with log.open("ab") if log else contextlib.nullcontext(asyncio.subprocess.PIPE) as stdout:
            process = self._process = await spawn(self.program, stdout)
        if self._stopping.is_set():  # asked for while it was being started
            process.terminate()
        copying = asyncio.create_task(self._copy_output(process))
        code = await process.wait()
        self.kill()  # what it left behind would hold its socket and its output
        self._process = None
        await asyncio.wait([copying], timeout=1)  # one that left the group may hold the output
        copying.cancel()
        return code

    async def _copy_output(self, process: asyncio.subprocess.Process) -> None:
        while process.stdout:
            try:
                line = await process.stdout.readline()
            except ValueError:
                line = b"(a line of more than 1 MiB is left out)\n"
            if not line:
                return
            self._console.log(self.program.name, line.decode(errors="replace").rstrip("\n"))

    def _report(self, outcome: str, delay: float) -> None:
        name = self.program.name
        if self.program.log:
            for line in self.program.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]:
                self._console.log(name, line)
        self._console.say(f"{name} ended with {outcome}; it starts again in {delay:g} s")

    async def stop(self) -> None:
        """SIGTERM to the program, and SIGKILL to its group when its time is over."""
        self._stopping.set()
        if self._process and self._process.returncode is None:
            self._process.terminate()
        done, _ = await asyncio.wait([self._running], timeout=self.program.stop_seconds)
        if not done:
            self._console.say(
                f"{self.program.name} did not stop in {self.program.stop_seconds:g} s and is killed"
            )
            self.kill()
            await self._running

    def kill(self) -> None:
        """SIGKILL to the whole group, if any of it is left."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


async def run_once(program: Program, console: Console) -> tuple[int, str]:
    """Run a program to its end: its exit code and what it wrote to stdout. Its stderr is shown."""
    process = await spawn(program, asyncio.subprocess.PIPE, asyncio.subprocess.PIPE)
    try:
        stdout, stderr = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    for line in stderr.decode(errors="replace").splitlines():
        console.log(program.name, line)
    return await process.wait(), stdout.decode(errors="replace")


async def spawn(
    program: Program, stdout: int | IO[bytes], stderr: int = asyncio.subprocess.STDOUT
) -> asyncio.subprocess.Process:
    """Start it in a session of its own, so that ctrl-C on the terminal reaches only the supervisor."""
    return await asyncio.create_subprocess_exec(
        *program.command,
        env=program.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=program.fds,
        limit=LONGEST_LINE,
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )


def die_with_parent() -> Callable[[], None] | None:
    """What a child calls before it becomes its program: SIGTERM when this process dies, however it dies.

    Linux only; elsewhere None. The Datastore emulator saves on SIGTERM, the others end in seconds.
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask_for_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return ask_for_signal


def ending(code: int) -> str:
    """An exit code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
