"""The documents tell the truth: what they name is there, and what they tell to type can be typed."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.architecture import repository

ROOT = repository.ROOT
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "terraform/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TOP_LEVEL = {path.parts[0] for path in repository.tracked()}
# What a document may name though it is not in the repository.
MADE_LATER = {
    "terraform/.terraform.lock.hcl": "written by the first deployment",
    "terraform/PROJECT.tfvars": "the reader writes it",
    ".env": "copied from .env.example",
    ".venv": "built by make",
    ".local": "what make run keeps",
    ".local/api-key": "written by the first make run",
    "apps/greetings/__init__.py": "the reader writes it",
    "apps/greetings/greet.py": "the reader writes it",
    "apps/": "a folder, not a file",
    "mysite/": "a folder, not a file",
}
PROGRAMS = r"(?:make|curl|gcloud|cp|pip|python3|\./\w+|\.venv/bin/[\w-]+|[A-Z_]+=\S+ )"


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def spans(text: str) -> list[str]:
    """What stands between single backticks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", without_blocks(text))]


def commands(text: str) -> Iterator[str]:
    """Each command of the sh blocks and the inline spans."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        yield from (line.partition("  #")[0].strip() for line in block.splitlines())
    yield from (
        span for span in spans(text) if re.match(rf"{PROGRAMS}\b", span) or span.startswith("manage.py ")
    )


def names_in(module: Path) -> set[str]:
    """The functions, classes and methods of a module, as `name` and `Class.name`."""
    found = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def is_path(span: str) -> bool:
    first = span.partition("/")[0]
    return not re.search(r"[\s:*(<{]", span) and (
        (first in TOP_LEVEL and ("/" in span or "." in span)) or span in MADE_LATER
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_file_that_is_named_exists(document: Path) -> None:
    missing = [
        span
        for span in spans(document.read_text())
        if is_path(span) and span not in MADE_LATER and not (ROOT / span).exists()
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_function_that_is_named_exists(document: Path) -> None:
    located = [re.fullmatch(r"(\S+\.py): (\w[\w.]*)", span) for span in spans(document.read_text())]
    missing = [match[0] for match in located if match and match[2] not in names_in(ROOT / match[1])]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_variable_that_is_named_is_read_somewhere(document: Path) -> None:
    sources = [
        ROOT / path for path in repository.tracked() if path.parts[0] in {"apps", "mysite", "Makefile"}
    ]
    code = "".join(path.read_text(errors="replace") for path in sources)
    variables = {span for span in spans(document.read_text()) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", span)}
    assert not {name for name in variables if name not in code}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_can_be_typed(document: Path) -> None:
    wrong = [
        (command, check.__name__)
        for command in commands(document.read_text())
        for check in CHECKS
        if not check(command.split())
    ]
    assert not wrong


def after(words: list[str], word: str) -> list[str]:
    """What follows `word`, if it is there."""
    return words[words.index(word) + 1 :] if word in words else []


def its_make_targets_exist(words: list[str]) -> bool:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {word for word in words[1:] if "=" not in word}  # the rest are variables
    return words[:1] != ["make"] or named <= set(targets)


def its_management_command_exists(words: list[str]) -> bool:
    return set(after(words, "manage.py")[:1]) <= set(get_commands())


def its_program_is_installed(words: list[str]) -> bool:
    programs = [repository.PROGRAMS / Path(word).name for word in words if word.startswith(".venv/bin/")]
    programs += [ROOT / word for word in words if word.startswith("./")]
    return all(os.access(program, os.X_OK) for program in programs)


def its_modules_and_files_exist(words: list[str]) -> bool:
    modules = [word.replace(".", "/") + ".py" for word in after(words, "-m")[:1]]
    files = [word for word in words[3:] if not word.startswith("-")]
    deployed = files if words[:3] == ["gcloud", "app", "deploy"] else []
    named = [word for word in words if word.startswith(("tests/", "bench/"))]
    return all((ROOT / path).exists() for path in [*modules, *deployed, *named])


CHECKS = [
    its_make_targets_exist,
    its_management_command_exists,
    its_program_is_installed,
    its_modules_and_files_exist,
]


def test_no_file_names_a_machine() -> None:
    """A path of somebody's machine works for nobody else."""
    personal = re.compile(r"(?<![\w.~/])/(home|Users|root|work)/[a-z]")
    texts = {path: (ROOT / path).read_text(errors="replace") for path in repository.tracked()}
    assert not [path for path, text in texts.items() if personal.search(text)]
