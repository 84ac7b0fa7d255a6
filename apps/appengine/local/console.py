"""Log lines of several programs on one screen: prefixed, coloured, JSON made readable."""

import json
import os
import sys
from itertools import cycle
from typing import Any, TextIO

OWN_NAME = "local"
NAME_WIDTH = 9
RESET, DIM, RED, YELLOW = "\033[0m", "\033[2m", "\033[31m", "\033[33m"
NAME_COLORS = ["\033[36m", "\033[35m", "\033[34m", "\033[32m", "\033[96m", "\033[95m"]
SEVERITY_COLORS = {"WARNING": YELLOW, "ERROR": RED, "CRITICAL": RED, "ALERT": RED, "EMERGENCY": RED}
# Known to every line or of use to Cloud Logging only.
LEFT_OUT = {
    "severity",
    "message",
    "time",
    "logger",
    "stack_trace",
    "httpRequest",
    "serviceContext",
    "context",
}
LEFT_OUT |= {"@type"}


class Console:
    """Writes whole lines. No colour where it would not be seen: a file, a pipe, NO_COLOR."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._color = stream.isatty() and not os.environ.get("NO_COLOR")
        self._colors = cycle(NAME_COLORS)
        self._color_of = {OWN_NAME: DIM}

    def show(self, line: str) -> None:
        """One line as it is."""
        try:
            print(line, file=self._stream, flush=True)
        except OSError:  # the terminal is gone; the programs need not go with it
            return

    def say(self, sentence: str) -> None:
        """A sentence of the local runtime's own."""
        self.log(OWN_NAME, sentence)

    def log(self, name: str, line: str) -> None:
        """A line that the program `name` wrote."""
        if name not in self._color_of:
            self._color_of[name] = next(self._colors)
        prefix = self._colored(f"{name:<{NAME_WIDTH}} |", self._color_of[name])
        for part in self._readable(line).splitlines():
            self.show(f"{prefix} {part}")

    def _colored(self, text: str, color: str) -> str:
        return f"{color}{text}{RESET}" if self._color and color else text

    def _readable(self, line: str) -> str:
        """A structured line of Cloud Logging as text: severity, message, its fields, its traceback."""
        event = structured(line)
        if event is None:
            return line
        severity = str(event.get("severity", "DEFAULT"))
        fields = "".join(f" {name}={value}" for name, value in event.items() if is_shown(name))
        text = self._colored(f"{severity:<7} {event['message']}", SEVERITY_COLORS.get(severity, ""))
        stack = event.get("stack_trace")
        return f"{text}{self._colored(fields, DIM)}" + (f"\n{stack}" if stack else "")


def structured(line: str) -> dict[str, Any] | None:
    """The fields of a line of structured logging, None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "message" in event else None


def is_shown(name: str) -> bool:
    return name not in LEFT_OUT and not name.startswith("logging.googleapis.com/")
