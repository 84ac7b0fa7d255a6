"""Dependencies point one way, and the platform knows nothing of what it carries."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def copy_to(folder: Path) -> None:
    for name in ("apps", "mysite"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def test_the_import_contracts_hold() -> None:
    linted = lint_imports(ROOT)
    assert linted.returncode == 0, linted.stdout


def test_an_import_against_the_direction_breaks_a_contract(tmp_path: Path) -> None:
    copy_to(tmp_path)
    with (tmp_path / "apps/core/ids.py").open("a") as module:
        module.write("\nimport apps.appengine.trust\nimport apps.accounts.models\n")
    linted = lint_imports(tmp_path)
    assert "apps.core.ids -> apps.appengine.trust" in linted.stdout
    assert "apps.core.ids -> apps.accounts.models" in linted.stdout


def test_every_app_is_in_a_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["name"] == "Dependencies point one way")
    layered = set(re.findall(r"apps\.\w+", " ".join(layers)))
    apps = {f"apps.{path.parent.name}" for path in (ROOT / "apps").glob("*/__init__.py")}
    assert apps - layered == {"apps.appengine"}


# webhooks: begin
def test_a_module_of_deliveries_without_a_layer_breaks_a_contract(tmp_path: Path) -> None:
    copy_to(tmp_path)
    (tmp_path / "apps/deliveries/somewhere.py").touch()
    linted = lint_imports(tmp_path)
    assert linted.returncode != 0
    assert "apps.deliveries.somewhere" in linted.stdout


def test_the_platform_has_no_word_of_what_it_carries() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "apps/appengine").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        for line in path.read_text().splitlines()
        if re.search("webhook|waybill|svix", line, re.IGNORECASE)
    ]
    assert not found


# webhooks: end
