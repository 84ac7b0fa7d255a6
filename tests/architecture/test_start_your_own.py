"""docs/start-your-own.md, carried out on a copy: what is left is a Django project that checks out."""

import re
import shutil
from pathlib import Path

import pytest

from tests.architecture import repository

PAGE = (repository.ROOT / "docs/start-your-own.md").read_text()
BLOCK = re.compile(r"^[ \t]*# webhooks: begin.*?^[ \t]*# webhooks: end[^\n]*\n", re.DOTALL | re.MULTILINE)


def listed(heading: str) -> list[Path]:
    """The paths in the list under a heading of the page."""
    section = PAGE.partition(f"## {heading}")[2].partition("\n## ")[0]
    return [Path(name) for name in re.findall(r"^- `([^`]+)`", section, re.MULTILINE)]


DELETED, CUT = listed("1. Delete"), listed("2. Cut one marked block")


def marked() -> list[Path]:
    """Every tracked file with a line that is a marker."""
    texts = {path: (repository.ROOT / path).read_bytes() for path in repository.tracked()}
    return [
        path for path, text in texts.items() if re.search(rb"^[ \t]*# webhooks: begin", text, re.MULTILINE)
    ]


@pytest.fixture(scope="module")
def left_over(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository after steps 1 and 2."""
    folder = repository.copy_to(tmp_path_factory.mktemp("own"))
    for path in DELETED:
        target = folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    for path in CUT:
        (folder / path).write_text(BLOCK.sub("", (folder / path).read_text()))
    return folder


def test_the_page_names_every_marked_file_and_each_has_one_block() -> None:
    assert sorted(marked()) == sorted(CUT)
    for path in CUT:
        text = (repository.ROOT / path).read_text()
        markers = re.findall(r"^[ \t]*# webhooks: (\w+)", text, re.MULTILINE)
        assert (path, markers) == (path, ["begin", "end"])


def test_what_is_left_checks_out_and_migrates(left_over: Path) -> None:
    assert "no issues (0 silenced)" in repository.manage(
        left_over, "check", "--settings", "mysite.settings.test"
    )
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
