"""cloudbuild.yaml, as far as it can be read without Cloud Build.

Fields: https://cloud.google.com/build/docs/build-config-file-schema
"""

import re
import subprocess
from typing import Any

import pytest
import yaml

from apps.appengine.deploy.options import VARIABLES
from tests.architecture.repository import ROOT

TEXT = (ROOT / "cloudbuild.yaml").read_text()
BUILD: dict[str, Any] = yaml.safe_load(TEXT)
STEPS: list[dict[str, Any]] = BUILD["steps"]
RELEASE = STEPS[-1]
FIELDS = {"steps", "substitutions", "timeout", "options"}
STEP_FIELDS = {"id", "name", "script", "entrypoint", "args", "env", "volumes", "waitFor", "timeout"}
BUILT_IN = {"PROJECT_ID", "PROJECT_NUMBER", "BUILD_ID", "COMMIT_SHA", "SHORT_SHA", "LOCATION"}


def named(step: dict[str, Any]) -> str:
    return str(step["id"])


def test_it_has_fields_that_cloud_build_knows() -> None:
    assert set(BUILD) <= FIELDS
    assert all(set(step) <= STEP_FIELDS for step in STEPS)
    # A script and an entrypoint exclude each other, and each step must say what it does.
    assert all(("script" in step) != ("args" in step) for step in STEPS)
    assert len({step["id"] for step in STEPS}) == len(STEPS)
    assert re.fullmatch(r"\d+s", BUILD["timeout"])


@pytest.mark.parametrize("step", STEPS, ids=named)
def test_each_image_is_pinned(step: dict[str, Any]) -> None:
    assert re.search(r":\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$", step["name"])


@pytest.mark.parametrize("step", STEPS, ids=named)
def test_each_script_parses_and_stops_at_its_first_failure(step: dict[str, Any]) -> None:
    script = step.get("script") or step["args"][-1]
    parsed = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
    assert "script" not in step or "set -euo pipefail" in script


def test_substitutions_are_those_that_there_are() -> None:
    """In `env` only: Cloud Build substitutes nothing in scripts, where $ is the shell's."""
    used = {name for step in STEPS for one in step.get("env", ()) for name in re.findall(r"\$\{?(\w+)", one)}
    assert used - BUILT_IN == set(BUILD["substitutions"])
    assert all(name.startswith("_") for name in BUILD["substitutions"])


def test_the_release_is_the_program_with_options_that_it_has() -> None:
    assert "make deploy" in RELEASE["script"]
    names = {one.partition("=")[0] for one in RELEASE["env"]}
    assert names - {"PYTHON", "CLOUDSDK_PYTHON"} <= set(VARIABLES)
    assert {"PROJECT", "DEPLOYMENT"} <= names
    ids = [step["id"] for step in STEPS]
    assert ids.index("test") < ids.index("release")


def test_tools_are_where_the_release_looks_for_them() -> None:
    assert '"/tools/google-cloud-sdk/bin:/tools:$PATH"' in RELEASE["script"]
    copied = STEPS[0]["script"] + STEPS[1]["args"][-1]
    assert "/tools/google-cloud-sdk" in copied
    assert "/tools/cloud-sql-proxy" in copied
    assert all({"name": "tools", "path": "/tools"} in step["volumes"] for step in STEPS)


def test_no_secret_is_in_it() -> None:
    assert not {"secretEnv", "availableSecrets", "secrets"} & (
        set(BUILD) | {key for step in STEPS for key in step}
    )
    names = {one.partition("=")[0] for step in STEPS for one in step.get("env", ())}
    assert not [name for name in names if re.search("PASSWORD|SECRET|KEY|TOKEN", name)]


def test_the_interpreter_is_that_of_app_engine() -> None:
    runtime = yaml.safe_load((ROOT / "app.yaml").read_text())["runtime"]
    version = re.search(r"python:(\d+)\.(\d+)", RELEASE["name"])
    assert version
    assert f"python{version[1]}{version[2]}" == runtime
