"""The Dockerfile carried out in a folder: its COPY lines, and the RUN lines that install nothing.

The project's virtual environment stands in for /venv. Nothing else of Docker is imitated.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

from apps.appengine.local import dockerfile
from tests.architecture import repository

ROOT = Path(__file__).resolve().parents[1]
INSTALLS = "pip --python"  # the RUN line whose work the project's virtual environment has done
# What Cloud Run sets: https://cloud.google.com/run/docs/container-contract
CLOUD_RUN = {"K_SERVICE": "web", "K_REVISION": "web-00001-abc", "K_CONFIGURATION": "web"}


def instructions() -> list[tuple[str, str]]:
    return dockerfile.instructions((ROOT / "Dockerfile").read_text())


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage by its name, in order; that of the last is the empty string."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, arguments in instructions():
        if name == "FROM":
            found[stage := arguments.partition(" AS ")[2]] = [(name, arguments)]
        else:
            found[stage].append((name, arguments))
    return found


def variables() -> dict[str, str]:
    """All ENV lines. PATH is left out: it names /venv."""
    pairs = [pair for name, arguments in instructions() if name == "ENV" for pair in arguments.split()]
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name != "PATH"}


def command() -> list[str]:
    return dockerfile.start_command(ROOT / "Dockerfile")


def context() -> list[Path]:
    """What git tracks and .dockerignore lets through."""
    return [path for path in repository.tracked() if not is_ignored(path)]


def is_ignored(path: Path) -> bool:
    """The last pattern that matches decides: https://docs.docker.com/build/concepts/context/#syntax"""
    ignored = False
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for pattern in (line for line in lines if line and not line.startswith("#")):
        if matches(PurePosixPath(path), pattern.removeprefix("!")):
            ignored = not pattern.startswith("!")
    return ignored


def matches(path: PurePosixPath, pattern: str) -> bool:
    """Whether the pattern is that of the path or of a folder above it."""
    regex = re.escape(pattern.strip("/")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return any(re.fullmatch(regex, str(part)) for part in [path, *path.parents][:-1])


def build(folder: Path) -> Path:
    """Carry the Dockerfile out in the folder; returns the last stage's /app."""
    for stage, lines in stages().items():
        app = folder / (stage or "last") / "app"
        app.mkdir(parents=True)
        for name, arguments in lines:
            if name == "COPY":
                copy(folder, app, arguments.split())
            elif name == "RUN" and INSTALLS not in arguments:
                run(arguments, app)
    return app


def copy(folder: Path, app: Path, arguments: list[str]) -> None:
    """One COPY line, to a path relative to WORKDIR, or of a whole folder from another stage."""
    if arguments[0].startswith("--from="):
        stage, (source, target) = arguments[0].removeprefix("--from="), arguments[1:]
        assert source == target
        if source != "/venv":
            shutil.copytree(folder / stage / source[1:], app.parent / target[1:], dirs_exist_ok=True)
        return
    *sources, target = arguments
    for source in sources:
        found = [path for path in context() if source in {str(path), *map(str, path.parents)}]
        assert found, f"COPY {source}: nothing of that name is sent to the builder"
        for path in found:
            place = (
                app / (target if len(found) > 1 else "") / path.relative_to(source if len(found) > 1 else ".")
            )
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, place)


def run(script: str, app: Path) -> None:
    """One RUN line."""
    done = subprocess.run(
        ["sh", "-c", script], cwd=app, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def environment(**more: str) -> dict[str, str]:
    """What a process in the container finds, and nothing of this test run."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    return variables() | {"PATH": path, "HOME": "/nonexistent", **more}


def python(app: Path, program: str, **more: str) -> dict[str, object]:
    """The JSON that a program prints in the container."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=app,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer
