"""The real Terraform on terraform/, with stand-ins for the providers (tests/provider): it makes nothing."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from apps.core import encryption
from tests import policy
from tests.architecture.repository import ROOT
from tests.provider.server import GOOGLE, RANDOM, Provider, standing_in

PROJECT = "example-project"
# Each with something the others do not have.
EVERYTHING = {
    "target": "cloudrun",
    "cache": "true",
    "sql_private_address": "true",
    "sql_public_address": "false",
    "static_bucket": "true",
    "build_repository": "owner/name",
    "alert_email": "those@example.com",
    "billing_account": "012345-6789AB-CDEF01",
    "access_policy": "123",
}
CONNECTED = {
    "domain": "hooks.example.com",
    "cache": "true",
    "build_repository": "projects/p/locations/europe-west1/connections/c/repositories/r",
}
SETS: dict[str, dict[str, str]] = {
    "plain": {},
    "everything": EVERYTHING,
    "connected": CONNECTED,
}


def require(program: str | None, missing: str) -> str:
    """The program's path; without it the test is not run, which in CI is a failure."""
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return program


@pytest.fixture(scope="module")
def program() -> str:
    return require(shutil.which("terraform"), "terraform is not installed")


class Workspace:
    """A copy of terraform/ whose state is a file, and the providers that stand in."""

    def __init__(
        self, folder: Path, program: str, attached: str, google: Provider, randoms: Provider
    ) -> None:
        self.folder, self.program, self.google, self.randoms = folder, program, google, randoms
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent),
            "TF_REATTACH_PROVIDERS": attached,
            "TF_WORKSPACE": PROJECT,
            "CHECKPOINT_DISABLE": "1",
        }

    def call(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """The exit code, and what was said, on one line: Terraform breaks its own where the screen ends."""
        done = subprocess.run(
            [
                self.program,
                *arguments,
                "-no-color",
                *(f"-var={name}={value}" for name, value in variables.items()),
            ],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).replace("│", " ").split())

    def plan(self, **variables: str) -> tuple[int, str]:
        given = {"project": PROJECT, "region": "europe-west1"} | variables
        return self.call("plan", "-input=false", "-out=plan", **given)

    def apply(self, **variables: str) -> dict[str, Any]:
        """Plan and apply. Returns the output `deployment`. Raises AssertionError."""
        code, said = self.plan(**variables)
        assert code == 0, said
        code, said = self.call("apply", "-input=false", "plan")
        assert code == 0, said
        output = [self.program, "output", "-json", "deployment"]
        done = subprocess.run(output, cwd=self.folder, env=self.environment, capture_output=True, check=True)
        deployment: dict[str, Any] = json.loads(done.stdout)
        return deployment

    def state(self) -> str:
        """Everything that Terraform keeps, plans included."""
        kept = [*self.folder.rglob("*tfstate*"), self.folder / "plan"]
        return "".join(path.read_text(errors="replace") for path in kept if path.is_file())


@contextmanager
def opened(folder: Path, program: str) -> Iterator[Workspace]:
    """An initialized copy in a new folder."""
    ignored = shutil.ignore_patterns(".terraform*", "*tfstate*", "*.tfvars")
    shutil.copytree(ROOT / "terraform", folder, ignore=ignored)
    (folder / "state_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    google, randoms = Provider(GOOGLE), Provider(RANDOM)
    with standing_in(google, randoms) as attached:
        started = Workspace(folder, program, attached, google, randoms)
        code, said = started.call("init", "-input=false")
        assert code == 0, said
        yield started


@pytest.fixture
def workspace(program: str, tmp_path: Path) -> Iterator[Workspace]:
    """One in which nothing is applied yet."""
    with opened(tmp_path / "terraform", program) as started:
        yield started


@dataclass
class Applied:
    """A workspace after an apply."""

    workspace: Workspace
    variables: dict[str, str]
    deployment: dict[str, Any]

    def made(self, kind: str) -> list[dict[str, Any]]:
        """The configurations of all resources of a type."""
        return self.workspace.google.made.get(kind, [])


@pytest.fixture(scope="module")
def apply(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Applied]]:
    """Applies a set of variables, once for all tests: none of them changes what is there."""
    with ExitStack() as stack:

        @cache
        def once(name: str) -> Applied:
            folder = tmp_path_factory.mktemp(name) / "terraform"
            workspace = stack.enter_context(opened(folder, program))
            return Applied(workspace, SETS[name], workspace.apply(**SETS[name]))

        yield once


def test_every_file_is_formatted(program: str) -> None:
    command = [program, "fmt", "-check", "-recursive", "-diff", "terraform"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_terraform_finds_it_valid(workspace: Workspace) -> None:
    code, said = workspace.call("validate")
    assert code == 0, said


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("ssl_mode", "ssl_modes"),
        ("google_sql_database.app.name", "google_sql_database.app.username"),
        ("google_sql_database.app.name", "google_sql_database.application.name"),
        ("var.backup_days", "var.backup_weeks"),
        ("enabled                        = true", 'enabled = "perhaps"'),
        ("tier                        = var.sql_tier", ""),
    ],
)
def test_the_stand_in_lets_no_slip_of_the_pen_pass(workspace: Workspace, right: str, wrong: str) -> None:
    changed = [path for path in workspace.folder.glob("*.tf") if right in path.read_text()]
    assert changed
    for path in changed:
        path.write_text(path.read_text().replace(right, wrong))
    assert workspace.call("validate")[0] != 0


@pytest.mark.parametrize("name", SETS)
def test_it_can_be_applied_and_is_then_finished(apply: Callable[[str], Applied], name: str) -> None:
    applied = apply(name)
    code, said = applied.workspace.plan(**applied.variables)
    assert (code, "No changes." in said) == (0, True), said


def test_the_plain_deployment_is_all_that_the_deploy_program_asks_for(
    apply: Callable[[str], Applied],
) -> None:
    environment = {
        "CLOUD_TASKS_LOCATION": "europe-west1",
        "APPSPOT_DOMAIN": f"{PROJECT}.appspot.com",
        "DB_MAX_CONNECTIONS": "100",
        "DB_NAME": "app",
        "INSTANCE_CONNECTION_NAME": f"{PROJECT}:europe-west1:main",
        "MEDIA_BUCKET": f"{PROJECT}-media",
    }
    deployment = dict(apply("plain").deployment)
    given = deployment.pop("environment")
    assert {name: given.get(name) for name in environment} == environment
    # Neither the database's user nor secrets: those rotate by a commit in app.yaml, which this would undo.
    assert set(given) - set(environment) <= {"PAYLOADS_BUCKET"}
    assert deployment == {
        "project": PROJECT,
        "region": "europe-west1",
        "service_account": f"web@{PROJECT}.iam.gserviceaccount.com",
        "tasks_service_account": f"tasks@{PROJECT}.iam.gserviceaccount.com",
        "deploy_service_account": f"deploy@{PROJECT}.iam.gserviceaccount.com",
        "vpc_connector": "",
        "instance_connection_name": f"{PROJECT}:europe-west1:main",
        "repository": f"europe-west1-docker.pkg.dev/{PROJECT}/app",
    }


def test_what_is_asked_for_is_laid_over_the_environment(apply: Callable[[str], Applied]) -> None:
    deployment = apply("everything").deployment
    assert deployment["vpc_connector"]
    assert (
        deployment["environment"].items()
        >= {
            "INSTANCE_CONNECTION_NAME": "",  # it would win over DB_HOST
            "DB_HOST": "10.9.0.2",
            "REDIS_HOST": "10.9.0.3",
            "REDIS_PORT": "6379",
            "STATIC_BUCKET": f"{PROJECT}-static",
        }.items()
    )
    assert all(isinstance(value, str) for value in deployment["environment"].values())


def test_cloud_build_is_given_the_same_as_is_put_out(apply: Callable[[str], Applied]) -> None:
    for name, location in (("connected", "europe-west1"), ("everything", "global")):
        applied = apply(name)
        [trigger] = applied.made("google_cloudbuild_trigger")
        assert json.loads(trigger["substitutions"]["_DEPLOYMENT"]) == applied.deployment
        assert trigger["substitutions"]["_TARGET"] == applied.variables.get("target", "appengine")
        assert trigger["location"] == location
        assert len(trigger["github"]) + len(trigger["repository_event_config"]) == 1


def test_first_secrets_are_valid_and_nothing_keeps_them_but_secret_manager(
    apply: Callable[[str], Applied],
) -> None:
    applied = apply("plain")
    written = {
        one["secret"].rpartition("/")[2]: one["secret_data_wo"]
        for one in applied.made("google_secret_manager_secret_version")
    }
    [user] = applied.made("google_sql_user")

    assert set(written) == {"django-secret-key", "field-encryption-keys", "db-password"}
    assert len(set(written.values())) == 3
    assert len(written["django-secret-key"]) >= 50  # what check --deploy asks for
    assert user["password_wo"] == written["db-password"]
    assert list(encryption.parse((written["field-encryption-keys"],))) == ["k1"]
    state = applied.workspace.state()
    assert f"{PROJECT}-media" in state
    assert not [value for value in [*written.values(), *applied.workspace.randoms.secrets] if value in state]


def test_a_project_is_refused_in_the_workspace_of_another(workspace: Workspace) -> None:
    code, said = workspace.plan(project="other-project")
    assert code == 1
    assert "Run: terraform workspace select -or-create other-project" in said


WRONG = {
    "region": ("europe-west1-b", "region is one region"),
    "target": ("gke", 'target is "appengine" or "cloudrun"'),
    "domain": ("https://example.com", "domain is a host name alone"),
    "backup_days": ("99", "backup_days is 1 to 98"),
    "sql_tier": ("db-perf-optimized-N-2", "the edition is Enterprise"),
    "sql_version": ("17", "such as POSTGRES_17"),
    "sql_max_connections": ("24", "sql_max_connections is 25 or more"),
    "cache_size_gb": ("0.5", "cache_size_gb is a whole number"),
    "build_repository": ("https://github.com/owner/name", "build_repository is owner/name"),
    "alert_email": ("somebody", "alert_email is one e-mail address"),
    "latency_seconds": ("0", "latency_seconds is more than 0"),
    "task_delay_seconds": ("30", "task_delay_seconds is 60 or more"),
    "billing_account": ("mine", "gcloud billing accounts list prints it"),
    "budget": ("0.5", "budget is a whole number"),
    "access_policy": ("accessPolicies/1", "access_policy is the number"),
    "access_levels": ('["people"]', "accessPolicies/NUMBER/accessLevels/NAME"),
}


def test_values_that_cannot_be_are_refused_each_with_a_way_out(workspace: Workspace) -> None:
    code, answer = workspace.plan(**{name: value for name, (value, _) in WRONG.items()})
    assert code == 1
    assert not [name for name, (_, said) in WRONG.items() if said not in answer]
    assert "project is a project's id" in workspace.plan(project="Example")[1]


def test_values_that_cannot_be_together_are_refused(workspace: Workspace) -> None:
    code, answer = workspace.plan(access_policy="1", sql_public_address="false")
    assert code == 1
    assert "do not support App Engine: set target" in answer
    assert "would have no address: set sql_public_address" in answer


def test_without_the_options_nothing_is_made_that_costs_money_while_idle(
    apply: Callable[[str], Applied],
) -> None:
    dear = {"google_redis_instance", "google_vpc_access_connector", "google_compute_network"}
    assert dear <= set(apply("everything").workspace.google.made)
    assert not dear & set(apply("plain").workspace.google.made)


def test_every_alert_leads_to_its_runbook_and_to_whoever_is_named(apply: Callable[[str], Applied]) -> None:
    alerts = apply("everything").made("google_monitoring_alert_policy")
    assert len(alerts) >= 6
    for one in alerts:
        assert one["documentation"][0]["content"].endswith(f"docs/operations.md#{one['display_name']}")
        assert len(one["notification_channels"]) == 1
    [channel] = apply("everything").made("google_monitoring_notification_channel")
    assert channel["labels"] == {"email_address": "those@example.com"}


@pytest.mark.parametrize(
    ("name", "other"), [("plain", "run.googleapis.com"), ("everything", "appengine.googleapis.com")]
)
def test_what_is_measured_is_what_the_target_has(
    apply: Callable[[str], Applied], name: str, other: str
) -> None:
    applied = apply(name)
    [dashboard] = applied.made("google_monitoring_dashboard")
    widgets = json.loads(dashboard["dashboard_json"])["gridLayout"]["widgets"]
    alerts = applied.made("google_monitoring_alert_policy")
    filters = [
        *(one["xyChart"]["dataSets"][0]["timeSeriesQuery"]["timeSeriesFilter"]["filter"] for one in widgets),
        *(
            condition["filter"]
            for alert in alerts
            for one in alert["conditions"]
            for condition in (*one["condition_threshold"], *one["condition_absent"])
        ),
    ]
    assert len(filters) >= 16
    assert not [one for one in filters if other in one]
    own = {one.partition("/user/")[2].partition('"')[0] for one in filters if "/user/" in one}
    assert own <= {metric["name"] for metric in applied.made("google_logging_metric")}


# What checkov finds


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    missing = "checkov is not installed (make check installs it)"
    require("checkov" if policy.is_installed() else None, missing)
    return Path(shutil.copytree(ROOT / "terraform", tmp_path / "copy"))


def test_a_planted_mistake_is_found_and_no_exception_is_idle(copy: Path) -> None:
    """`make check` scans the files as they are; this shows that it would see."""
    storage = (copy / "storage.tf").read_text()
    (copy / "storage.tf").write_text(
        storage.replace('prevention    = "enforced"', 'prevention    = "inherited"')
    )
    (copy / "broken.tf").write_text('resource "google_storage_bucket" {')
    found = policy.scan(copy)
    assert [line.split(":")[0] for line in found.failed] == ["CKV_GCP_114 google_storage_bucket.media"]
    assert found.unread == 1
    texts = "".join(path.read_text() for path in copy.glob("*.tf"))
    assert found.excepted == set(re.findall(r"checkov:skip=(\w+)", texts))
