"""Carries out a plan step by step; when one fails, takes back what earlier ones changed, the last first.

A step says what is to be taken back right before it changes something (`Undoing.later`), so that a change
of which nobody knows whether it happened is taken back too: undoing twice, or what was not done, is safe.
"""

import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from apps.appengine.deploy.shell import FailedError, Shell, SignalledError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Step:
    """One step: `why` is one sentence for who watches."""

    name: str
    why: str
    do: Callable[[], None]


@dataclass(frozen=True)
class Undo:
    """How one change is taken back: `what` is a sentence about the state after it."""

    what: str
    do: Callable[[], object]


@dataclass
class Undoing:
    """What must be taken back if a later step fails, and what stays whatever happens."""

    shell: Shell
    undos: list[Undo] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)
    settled: bool = False

    def later(self, what: str, do: Callable[[], object]) -> None:
        """Take this back if this step or a later one fails. A dry run shows it at once."""
        self.undos.append(Undo(what, do))
        if self.shell.dry:
            self.shell.say(f"If this or a later step fails: {what}")
            with self.shell.indented("#   "):
                do()

    def stays(self, what: str) -> None:
        """Say, if it comes to a failure, that this is not taken back."""
        self.remains.append(what)

    def settle(self) -> None:
        """The release stands: from here on nothing is taken back."""
        self.undos.clear()
        self.remains.clear()
        self.settled = True


def carry_out(steps: Sequence[Step], undoing: Undoing) -> int:
    """The exit code: 0, or 1, or 128 and the signal's number."""
    shell = undoing.shell
    with signals_raise():
        for number, step in enumerate(steps, 1):
            shell.say()
            shell.say(f"[{number}/{len(steps)}] {step.name}: {step.why}")
            try:
                step.do()
            except BaseException as fault:  # noqa: BLE001  whatever it is, it must not leave half a release
                with signals_wait(shell):
                    report(fault, steps, number, undoing)
                return 128 + fault.number if isinstance(fault, SignalledError) else 1
    return 0


def report(fault: BaseException, steps: Sequence[Step], number: int, undoing: Undoing) -> None:
    """Say what failed, take back, say how that went and what is left to do."""
    shell = undoing.shell
    step = steps[number - 1]
    shell.say()
    shell.say(f"FAILED in step {number} of {len(steps)}, {step.name}: {fault}")
    if not isinstance(fault, FailedError | SignalledError):
        shell.say("".join(traceback.format_exception(fault)))
    done, failed = take_back(undoing)
    shell.say()
    shell.say(f"Step {number} of {len(steps)}, {step.name}, failed: {fault}")
    if undoing.settled:
        shell.say("The release stands: it was complete before this step, so nothing was taken back.")
    tell(shell, "Taken back:" if done or failed else "Nothing had to be taken back.", done)
    tell(shell, "COULD NOT BE TAKEN BACK, do it by hand:" if failed else "", failed)
    tell(shell, "Stays as it is:" if undoing.remains else "", undoing.remains)
    if rest := [later.name for later in steps[number:]]:
        shell.say(f"Not begun: {', '.join(rest)}.")
    shell.say("The same command again begins anew; what is done already is found done.")


def tell(shell: Shell, heading: str, lines: Sequence[str]) -> None:
    if heading:
        shell.say(heading)
    for line in lines:
        shell.say(f"  - {line}")


def take_back(undoing: Undoing) -> tuple[list[str], list[str]]:
    """Undo everything, the last first, whatever fails: what was taken back, and what was not and why."""
    done: list[str] = []
    failed: list[str] = []
    while undoing.undos:
        undo = undoing.undos.pop()
        undoing.shell.say(f"Taking back: {undo.what}")
        try:
            undo.do()
            done.append(undo.what)
        except BaseException as fault:  # noqa: BLE001  the others are undone all the same
            undoing.shell.say(f"That failed: {fault}")
            failed.append(f"{undo.what} ({fault})")
    return done, failed


@contextmanager
def signals_raise() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end what runs, as a failure does."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  a handler's signature
        raise SignalledError(number)

    with handled_by(end):
        yield


@contextmanager
def signals_wait(shell: Shell) -> Iterator[None]:
    """A second Ctrl-C must not leave half of it undone."""

    def wait(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  a handler's signature
        shell.say("Still taking back; this ends by itself. (kill -9 would leave the rest to you.)")

    with handled_by(wait):
        yield


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
