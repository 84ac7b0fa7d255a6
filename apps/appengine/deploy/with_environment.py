"""Run a command with the environment that a rendered file gives the release.

    python -m apps.appengine.deploy.with_environment app.PROJECT.yaml NAME=value ... COMMAND ...

The file is an app.yaml (its env_variables count) or the environment itself. It wins over what the shell
has, so that a laptop's DB_HOST changes nothing; NAME=value wins over the file.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)


def environment(text: str, given: Mapping[str, str], assigned: Mapping[str, str]) -> dict[str, str]:
    """What the command gets: the shell's, under the file's, under the assigned variables."""
    document = yaml.safe_load(text)
    variables = document.get("env_variables", document)
    return {**given, **{name: str(value) for name, value in variables.items()}, **assigned}


def main() -> None:
    file, *words = sys.argv[1:]
    assigned = {}
    while words and (match := ASSIGNMENT.fullmatch(words[0])):
        assigned[match[1]] = match[2]
        words.pop(0)
    os.execvpe(words[0], words, environment(Path(file).read_text(), os.environ, assigned))


if __name__ == "__main__":
    main()
