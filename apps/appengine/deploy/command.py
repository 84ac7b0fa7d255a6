"""A command as it runs and as it is printed, ready to be pasted into a shell."""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What only a run finds out stands in a dry run's plan as a shell variable.
UNKNOWN = re.compile(r"\$[A-Z][A-Z_]*")


@dataclass(frozen=True)
class Command:
    """`environment` is laid over the program's own; `output` is the file that takes the standard output."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    output: Path | None = None

    def __str__(self) -> str:
        assignments = [f"{name}={quoted(value)}" for name, value in self.environment.items()]
        target = ["> " + quoted(str(self.output))] if self.output else []
        return " ".join([*assignments, *map(quoted, self.words), *target])


def command(*words: object, output: Path | None = None, **environment: str) -> Command:
    """The words as text; keywords are environment variables."""
    return Command(tuple(map(str, words)), environment, output)


def gcloud(project: str, *words: object, output: Path | None = None) -> Command:
    """A call of gcloud that asks nobody anything and names its project."""
    return command("gcloud", *words, f"--project={project}", "--quiet", output=output)


def quoted(word: str) -> str:
    """The word for a shell. In double quotes where it holds a variable that the shell must fill in."""
    if not UNKNOWN.search(word):
        return shlex.quote(word)
    if UNKNOWN.fullmatch(word):
        return f'"{word}"'
    escaped = re.sub(r'(["`\\])', r"\\\1", word)
    return f'"{escaped}"'


def listed(values: Mapping[str, object] | Iterable[str]) -> str:
    """A list or a dictionary as gcloud reads it in a flag."""
    if isinstance(values, Mapping):
        return ",".join(f"{name}={value}" for name, value in values.items())
    return ",".join(values)
