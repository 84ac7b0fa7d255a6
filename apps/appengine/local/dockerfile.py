"""Reads what the local runtime needs of the Dockerfile: the command that starts the container.

The syntax: https://docs.docker.com/reference/dockerfile/. Only the JSON form of CMD is known here, the one
that needs no shell.
"""

import json
from pathlib import Path


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction with its arguments, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.strip().partition(" ") for line in joined.splitlines()]
    return [(name.upper(), arguments.strip()) for name, _, arguments in found]


def start_command(path: Path) -> list[str]:
    """The last CMD. Raises ValueError naming the file where there is none, or one that needs a shell."""
    commands = [arguments for name, arguments in instructions(path.read_text()) if name == "CMD"]
    try:
        command = json.loads(commands[-1])
    except (IndexError, ValueError) as error:
        raise ValueError(f'{path.name}: CMD ["program", "argument"] is missing') from error
    if not isinstance(command, list) or not all(isinstance(part, str) for part in command):
        raise ValueError(f"{path.name}: CMD must be a list of strings")
    return command
