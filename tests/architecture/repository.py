"""The repository as others get it: what git tracks, copied."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent


def tracked() -> list[Path]:
    """Every tracked file, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def copy_to(folder: Path) -> Path:
    """A clone's files, without what happens to lie in this folder."""
    for path in tracked():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return folder


def environment() -> dict[str, str]:
    """A developer's shell: nothing of the test run's own variables."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
    }


def manage(folder: Path, *arguments: str) -> str:
    """What `manage.py` prints. Raises AssertionError with it when the command fails."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
