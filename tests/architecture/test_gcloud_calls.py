"""Every gcloud call of the deploy program, cloudbuild.yaml and the documents, before gcloud's own parser.

By tests/gcloud.py: the command tree of the Google Cloud SDK on this machine, loaded and asked to parse, never
to run. The calls of the program are those of its plans for either target, in each of their forms; what the
functional test of the program records goes through the same parser there.
"""

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.appengine.deploy import __main__ as program
from apps.appengine.deploy import indexes, smoke_task, watch
from tests import gcloud
from tests.architecture import repository

ROOT = repository.ROOT
DEPLOYMENT = json.dumps(
    {
        "project": "example",
        "region": "europe-west1",
        "service_account": "web@example.iam.gserviceaccount.com",
        "tasks_service_account": "tasks@example.iam.gserviceaccount.com",
        "deploy_service_account": "deploy@example.iam.gserviceaccount.com",
        "vpc_connector": "projects/example/locations/europe-west1/connectors/main",
        "instance_connection_name": "example:europe-west1:main",
        "repository": "europe-west1-docker.pkg.dev/example/app",
        "environment": {"STATIC_BUCKET": "example-static"},
    }
)
VARIABLES: list[dict[str, str]] = [
    {},
    {"TARGET": "cloudrun"},
    {"DEPLOYMENT": DEPLOYMENT, "FIRST_SHARE": "0"},
    {"TARGET": "cloudrun", "DEPLOYMENT": DEPLOYMENT},
    {"TARGET": "cloudrun", "BUILDER": "docker", "FIRST_SHARE": "10", "BACKUP": "1"},
]
# What a shell would have filled in.
VALUES = {
    "REGION": "europe-west1",
    "VERSION": "v20260801t101500-1a2b3c4d5e",
    "BEFORE": "v20260731t101500-0a2b3c4d5e",
    "SERVING": "v20260731t101500-0a2b3c4d5e",
    "NUMBER": "123456789",
    "NOW": "2026-08-01T10:15:00Z",
    "URL": "https://example.test",
    "OLD": "v20260101t101500-0a2b3c4d5e",
}


def filled(text: str) -> str:
    return re.sub(r"\$\{?([A-Z_]+)\}?", lambda match: VALUES.get(match[1], "x"), text)


def in_line(line: str) -> list[list[str]]:
    """The calls in a line of a shell script, comments that a plan makes of its undoing included."""
    line = line.strip().lstrip("#").strip()
    line = re.sub(r"^[A-Z_]+=\$\((.*)\)$", r"\1", line)
    line = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line)
    if not line.startswith("gcloud "):
        return []
    words = shlex.split(filled(line), comments=True)
    return [words[: next((n for n, word in enumerate(words) if word in {"|", "&&", ">", "||"}), len(words))]]


def of_plan(capsys: pytest.CaptureFixture[str], **variables: str) -> list[list[str]]:
    """What the dry runs print."""
    for verb in ("deploy", "rollback"):
        assert program.main([verb], {"PROJECT": "example", "DRY_RUN": "1", **variables}) == 0
    return [call for line in capsys.readouterr().out.splitlines() for call in in_line(line)]


def of_modules() -> list[list[str]]:
    """What the program's modules call themselves."""
    name = "smoke-v1"
    commands = [
        indexes.listing("example"),
        smoke_task.task_command("example", "describe", name, "europe-west1"),
        smoke_task.task_command("example", "delete", name, "europe-west1"),
        watch.reading("example", 'resource.type="gae_app"', datetime.now(UTC)),
    ]
    return [list(command.words) for command in commands]


def of_document(path: Path) -> list[list[str]]:
    """Blocks of sh and spans. A span without a flag may name a group of commands only.

    PROJECT stands for a project's id, which gcloud wants in small letters.
    """
    text = re.sub(r"\bPROJECT\b", "example", path.read_text().replace("\\\n", " "))
    blocks = "".join(re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE))
    found = [call for line in blocks.splitlines() for call in in_line(line)]
    outside = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`(gcloud [^`]+)`", outside)]
    return found + [
        [*call, "--help"] if not has_flags(call) else call for one in spans for call in in_line(one)
    ]


def has_flags(call: list[str]) -> bool:
    return any(word.startswith("-") for word in call)


def of_cloudbuild(document: Any) -> list[list[str]]:
    scripts = "\n".join(step.get("script", "") for step in document["steps"])
    return [call for line in scripts.replace("\\\n", " ").splitlines() for call in in_line(line)]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """With the one file that gcloud reads while it parses."""
    rendered = tmp_path / ".local/deploy/example/environment.yaml"
    rendered.parent.mkdir(parents=True)
    rendered.write_text("NAME: value\n")
    return tmp_path


def test_gcloud_accepts_every_call_of_the_plans(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    plans = [of_plan(capsys, **variables) for variables in VARIABLES]
    assert min(map(len, plans)) > 20
    assert gcloud.faults([call for plan in plans for call in plan] + of_modules(), config) == {}


def test_gcloud_accepts_every_call_of_cloudbuild_and_documents(config: Path) -> None:
    calls = of_cloudbuild(yaml.safe_load((ROOT / "cloudbuild.yaml").read_text()))
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "terraform").rglob("*.md")):
        calls += of_document(path) if path.exists() else []
    assert {call: fault for call, fault in gcloud.faults(calls, config).items() if fault} == {}


def test_gcloud_refuses_what_it_does_not_know(config: Path) -> None:
    wrong = [
        ["gcloud", "app", "deploy", "--no-promotion"],
        ["gcloud", "app", "services", "set-trafic", "default"],
        ["gcloud", "tasks", "queues", "update", "q", "--max-attempts=many"],
        ["gcloud", "run", "services", "update-traffic", "web", "--to-latest", "--to-revisions=a=1"],
        ["gcloud", "scheduler", "jobs", "create", "http", "job", "--location=l", "--uri=https://x"],
    ]
    right = ["gcloud", "app", "versions", "list", "--format=json"]
    assert list(gcloud.faults([*wrong, right], config)) == [" ".join(call) for call in wrong]
