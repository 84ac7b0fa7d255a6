"""The App Engine files, as `gcloud app deploy` reads them: with the parsers of the Google Cloud SDK."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apps.appengine import cron_yaml
from apps.appengine.local.datastore_emulator import sdk_roots

ROOT = Path(__file__).resolve().parents[2]

READ = """
import json, sys
sdk, root = sys.argv[1:]
sys.path[:0] = [sdk + "/lib", sdk + "/lib/third_party"]
from googlecloudsdk.api_lib.app.yaml_parsing import ConfigYamlInfo, ServiceYamlInfo
from googlecloudsdk.appengine.googlecron.groctimespecification import GrocTimeSpecification

def read(name):
    parse = ServiceYamlInfo if name == "app" else ConfigYamlInfo
    parsed = parse.FromFile(f"{root}/{name}.yaml").parsed
    if name == "cron":  # gcloud leaves the schedules to the server
        for job in parsed.cron or ():
            GrocTimeSpecification(job.schedule)

findings = {}
for name in ("app", "cron", "queue", "index"):
    try:
        read(name)
    except Exception as error:
        findings[name] = repr(error)
print(json.dumps(findings))
"""

START = """
import main
from django.core.management import call_command
from django.urls import get_resolver

call_command("check")
assert get_resolver().url_patterns
"""


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The Google Cloud SDK's root."""
    for root in sdk_roots():
        if (root / "lib/googlecloudsdk/appengine").is_dir() and (root / "bin/gcloud").exists():
            return root
    if os.environ.get("CI"):
        pytest.fail("The Google Cloud SDK is missing")
    pytest.skip("the Google Cloud SDK is not installed")


def run(*command: Any, cwd: Path = ROOT, **environment: str) -> str:
    """The command's output; its errors where it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def uploaded(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paths that `gcloud app deploy` uploads."""
    config = tmp_path_factory.mktemp("gcloud")
    listed = run(
        sdk / "bin/gcloud",
        "meta",
        "list-files-for-upload",
        CLOUDSDK_CONFIG=str(config),
        CLOUDSDK_CORE_DISABLE_PROMPTS="1",
        CLOUDSDK_CORE_DISABLE_USAGE_REPORTING="1",
        CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK="1",
    )
    return listed.splitlines()


def test_google_reads_our_files(sdk: Path) -> None:
    assert json.loads(run(sys.executable, "-c", READ, sdk, ROOT)) == {}


def test_google_refuses_files_that_cannot_be_deployed(sdk: Path, tmp_path: Path) -> None:
    files = {
        "app": "runtime: python313\napplication: forbidden\n",
        "cron": "cron:\n- url: /x\n  schedule: '* * * * *'\n",
        "queue": "queue:\n- name: x\n  rate: often\n",
        "index": "indexes:\n- kind: X\n  properties:\n  - name: p\n    direction: sideways\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)

    assert json.loads(run(sys.executable, "-c", READ, sdk, tmp_path)).keys() == files.keys()


def test_time_zones_of_cron_jobs_exist() -> None:
    for job in cron_yaml.read(ROOT / "cron.yaml"):
        ZoneInfo(job.timezone)


def test_only_what_production_needs_is_uploaded(uploaded: list[str]) -> None:
    assert {path.split("/")[0] for path in uploaded} <= {
        "main.py",
        "requirements.txt",
        "mysite",
        "apps",
        "static_root",
    }
    development = (
        "/local/",
        "/settings/local.py",
        "/settings/test.py",
        "/tests/",
        "__pycache__",
        ".pyc",
        ".md",
    )
    assert [path for path in uploaded if any(part in path for part in development)] == []


def test_what_is_uploaded_starts_by_itself(uploaded: list[str], tmp_path: Path) -> None:
    for path in uploaded:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target)

    run(
        sys.executable,
        "-c",
        START,
        cwd=tmp_path,
        DJANGO_SETTINGS_MODULE="mysite.settings.production",
        DJANGO_SECRET_KEY="0123456789" * 6,
        FIELD_ENCRYPTION_KEYS="k:" + "A" * 43 + "=",
        GOOGLE_CLOUD_PROJECT="p",
        CLOUD_TASKS_LOCATION="l",
        TASKS_TARGET="appengine",
    )
