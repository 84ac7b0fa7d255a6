"""Build `.venv` from the pinned requirements. Standard library only, Python 3.9 or newer.

`make run` and `make test` call this first. It finds a Python 3.12 or newer, makes the virtual
environment and installs requirements-dev.txt into it; when nothing changed it does nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

MINIMUM = (3, 12)
ROOT = Path(__file__).resolve().parents[3]
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements-dev.txt"
STAMP = VENV / "requirements.sha256"


def candidates() -> list[str]:
    """Interpreters worth asking, best first: named, on PATH, pyenv's, uv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    named = [os.environ.get("PYTHON", ""), "python3.13", "python3.12", "python3", sys.executable]
    found = [path for name in named if name and (path := shutil.which(name))]
    found += sorted(map(str, pyenv.glob("versions/3.1[2-9]*/bin/python3")), reverse=True)
    if uv := shutil.which("uv"):
        answer = subprocess.run([uv, "python", "find", ">=3.12"], capture_output=True, text=True, check=False)
        found += answer.stdout.split()
    return found


def version(python: str) -> tuple[int, ...]:
    """The interpreter's (major, minor), or (0,) when it does not run."""
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return tuple(map(int, answer.stdout.split())) if answer.returncode == 0 else (0,)


def find_python() -> str:
    """The first candidate that is new enough. Exits with what to do when there is none."""
    for python in candidates():
        if version(python) >= MINIMUM:
            return python
    sys.exit(
        "Python 3.12 or newer is needed and none was found on PATH, under pyenv or by uv.\n"
        "Install one (for instance `pip install uv && uv python install 3.13`), "
        "or name it: PYTHON=/path/to/python3.13 make ..."
    )


def fingerprint() -> str:
    """Changes when the pinned requirements change."""
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def is_current() -> bool:
    return STAMP.exists() and STAMP.read_text() == fingerprint()


def build() -> None:
    """Make the virtual environment anew and install the pinned requirements, hashes checked."""
    python = find_python()
    print(
        f"Building .venv with {python} (once; again only when requirements-dev.txt changes) ...", flush=True
    )
    subprocess.run([python, "-m", "venv", "--clear", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    subprocess.run([*pip, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
    STAMP.write_text(fingerprint())


if __name__ == "__main__":
    if not is_current():
        build()
