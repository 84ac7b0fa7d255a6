"""docs/start-your-own.md, carried out on a copy: what is left is a Django project that works."""

import html
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.architecture import repository
from tests.functional.system import System, wait_until

PAGE = (repository.ROOT / "docs/start-your-own.md").read_text()
BLOCK = re.compile(r"^[ \t]*# webhooks: begin.*?^[ \t]*# webhooks: end[^\n]*\n", re.DOTALL | re.MULTILINE)
# What meets the site; the other functional tests drive stand-in projects, the same here as there.
PLATFORM_TESTS = [
    "tests/unit",
    "tests/architecture",
    "tests/functional/test_oidc.py",
    "tests/functional/test_secrets.py",
    "tests/functional/test_terraform.py::test_terraform_finds_it_valid",
    "tests/functional/test_production.py::test_every_store_answers",
]


def section(heading: str) -> str:
    """The text under a heading of the page."""
    return PAGE.partition(f"## {heading}")[2].partition("\n## ")[0]


def listed(heading: str) -> list[Path]:
    """The paths in the list under a heading."""
    return [Path(name) for name in re.findall(r"^- `([^`]+)`", section(heading), re.MULTILINE)]


DELETED, CUT = listed("1. Delete"), listed("2. Cut one marked block")
MODULE, JOB, ENTRY, LAYER, LOOK = re.findall(
    r"^```\w+\n(.*?)^```", section("4. A task that writes"), re.DOTALL | re.MULTILINE
)


def marked() -> list[Path]:
    """Every tracked file with a line that is a marker."""
    texts = {path: (repository.ROOT / path).read_bytes() for path in repository.tracked()}
    return [
        path for path, text in texts.items() if re.search(rb"^[ \t]*# webhooks: begin", text, re.MULTILINE)
    ]


def tool(folder: Path, *command: str) -> str:
    """What a program of the virtual environment prints. Raises AssertionError with it when it fails."""
    program = [str(repository.PROGRAMS / command[0]), *command[1:]]
    done = subprocess.run(
        program, cwd=folder, env=repository.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def left_over(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository after steps 1 and 2."""
    folder = repository.copy_to(tmp_path_factory.mktemp("own"))
    for path in DELETED:
        target = folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    for path in CUT:
        (folder / path).write_text(BLOCK.sub("", (folder / path).read_text()))
    tool(folder, "ruff", "format", "--quiet", ".")
    tool(folder, "ruff", "check", "--quiet", "--fix", ".")
    return folder


@pytest.fixture(scope="module")
def with_greetings(left_over: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is left, after step 4, known to git."""
    folder = tmp_path_factory.mktemp("greetings") / "project"
    shutil.copytree(left_over, folder)
    (folder / "apps/greetings").mkdir()
    (folder / "apps/greetings/__init__.py").touch()
    (folder / "apps/greetings/greet.py").write_text(MODULE)
    for path, addition in {"mysite/cron.py": f"\n{JOB}", "cron.yaml": ENTRY}.items():
        with (folder / path).open("a") as file:
            file.write(addition)
    pyproject = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(pyproject.replace(LAYER.splitlines(keepends=True)[-1], LAYER))
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    return folder


def test_the_page_names_every_marked_file_and_each_has_one_block() -> None:
    assert sorted(marked()) == sorted(CUT)
    for path in CUT:
        text = (repository.ROOT / path).read_text()
        markers = re.findall(r"^[ \t]*# webhooks: (\w+)", text, re.MULTILINE)
        assert (path, markers) == (path, ["begin", "end"])


def test_what_is_left_checks_out_and_migrates(left_over: Path) -> None:
    checked = repository.manage(
        left_over, "check", "--fail-level", "WARNING", "--settings", "mysite.settings.test"
    )
    assert "no issues (0 silenced)" in checked
    assert "No changes detected" in repository.manage(left_over, "makemigrations", "--check", "--dry-run")
    repository.manage(left_over, "migrate", "--no-input")


def test_nothing_of_webhooks_is_left_in_the_code(left_over: Path) -> None:
    found = [
        f"{path.relative_to(left_over)}: {line.strip()}"
        for folder in ("apps", "mysite", "tests")
        for path in (left_over / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        for line in path.read_text(errors="replace").splitlines()
        if re.search(r"webhook|waybill|apps\.(applications|deliveries|api|dashboard)\b", line, re.IGNORECASE)
    ]
    assert not found


def test_with_a_task_and_a_cron_job_it_passes_every_check(with_greetings: Path) -> None:
    tool(with_greetings, "ruff", "format", "--check", ".")
    tool(with_greetings, "ruff", "check", ".")
    tool(with_greetings, "mypy")
    tool(with_greetings, "lint-imports")
    tool(with_greetings, "djlint", "--check", "--lint", "apps")
    repository.manage(
        with_greetings, "check", "--fail-level", "WARNING", "--settings", "mysite.settings.test"
    )


def test_the_tests_of_the_platform_pass_there(with_greetings: Path) -> None:
    assert re.search(r"\d{3} passed", tool(with_greetings, "pytest", "-q", "-n", "2", *PLATFORM_TESTS))


def test_the_run_command_starts_it_and_the_cron_job_s_task_writes_its_entity(with_greetings: Path) -> None:
    system = System(with_greetings / ".local")
    system.root = with_greetings
    try:
        system.start()
        assert look(with_greetings) == "[]"
        run_now(f"{system.url}/_local/cron/", "/_cron/greet")
        assert wait_until(lambda: look(with_greetings) == "['Good day, everybody']", 60), system.output[-20:]
        assert "Good day, everybody" in read(
            f"{system.url}/_local/datastore/query?gql=SELECT+*+FROM+Greeting"
        )
    finally:
        system.stop()


def look(folder: Path) -> str:
    """What the page's last piece of Python prints in a shell beside the run."""
    return repository.manage(folder, "shell", "--verbosity", "0", "--command", LOOK).strip()


def read(address: str, method: str = "GET") -> str:
    """The page at the address. Raises OSError."""
    with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=30) as answer:
        return str(answer.read().decode())


def run_now(page: str, job: str) -> None:
    """Press the button of the job."""
    actions = [html.unescape(action) for action in re.findall(r'action="([^"]+)"', read(page))]
    [action] = [action for action in actions if job in action]
    read(urllib.parse.urljoin(page, action), "POST")
