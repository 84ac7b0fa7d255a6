"""The commands of docs/operations.md, for the tests that type them."""

import re

from tests.functional.system import ROOT

TEXT = (ROOT / "docs/operations.md").read_text()


def blocks(heading: str, language: str = "sh") -> list[str]:
    """The blocks of a language under a heading, up to the next one. Raises AssertionError: none."""
    match = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ [A-Z]|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert match, heading
    found = re.findall(rf"^```{language}\n(.*?)^```", match[1], re.DOTALL | re.MULTILINE)
    assert found, heading
    return found


def block(heading: str, language: str = "sh") -> str:
    """The first of them."""
    return blocks(heading, language)[0]
