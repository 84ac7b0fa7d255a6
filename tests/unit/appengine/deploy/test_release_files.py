"""What a release is told and what it makes of it: options, names, Terraform's output, rendered files."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.appengine.deploy import deployment, options, rendered, version, with_environment
from apps.appengine.deploy.shell import FailedError

FIELDS: dict[str, Any] = {
    "project": "example",
    "region": "europe-west1",
    "service_account": "web@example",
    "tasks_service_account": "tasks@example",
    "deploy_service_account": "deploy@example",
    "vpc_connector": "",
    "instance_connection_name": "example:europe-west1:main",
    "repository": "europe-west1-docker.pkg.dev/example/app",
    "environment": {"DB_NAME": "theirs", "MEDIA_BUCKET": "b"},
}
APP = {"runtime": "python313", "env_variables": {"DB_NAME": "ours", "TASKS_TARGET": "appengine", "KEPT": "1"}}


def made(**changes: Any) -> deployment.Deployment:
    return deployment.parse(json.dumps(FIELDS | changes), "example")


def test_options_come_from_the_environment_in_their_types() -> None:
    found = options.read(
        {
            "PROJECT": "example",
            "DRY_RUN": "1",
            "TERRAFORM": "0",
            "DISABLE_QUEUES": "a, b",
            "FIRST_SHARE": "5",
            "SETTLE": "",
        }
    )
    assert (found.dry_run, found.terraform, found.first_share, found.settle) == (True, False, 5, 60)
    assert found.disable_queues == {"a", "b"}
    assert set(options.VARIABLES) == {name.upper() for name in options.Options.__dataclass_fields__}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PROJECT", ""),
        ("PROJECT", "Name"),
        ("TARGET", "gke"),
        ("YES", "yes"),
        ("SETTLE", "1m"),
        ("BUILDER", "x"),
    ],
)
def test_a_mistake_in_an_option_names_it(variable: str, value: str) -> None:
    with pytest.raises(FailedError, match=f"{variable} is '{value}'"):
        options.read({"PROJECT": "example", variable: value})


def test_a_version_s_name_says_when_and_of_what_and_fits_into_its_host() -> None:
    now = datetime(2026, 8, 1, 10, 15, tzinfo=UTC)
    clean = version.name(now, "1a2b3c4d5e6f", dirty=False)
    dirty = version.name(now, "1a2b3c4d5e6f", dirty=True)
    assert (clean, version.commit(clean), version.commit(dirty)) == (
        "v20260801t101500-1a2b3c4d5e",
        "1a2b3c4d5e",
        "",
    )
    assert len(f"{clean}-dot-{'p' * 30}") <= 63
    assert len(f"{clean}---web") <= 46  # a tag of Cloud Run and the name of the service
    assert version.is_ours(dirty)
    assert not version.is_ours("20260801t101500")
    assert version.age_key(clean) == version.age_key(dirty)


def test_a_deployment_that_is_not_whole_names_what_it_lacks() -> None:
    assert made().sql_instance == "main"
    for text, fault in {
        "no": "no JSON",
        "[]": "lacks everything",
        json.dumps({name: value for name, value in FIELDS.items() if name != "region"}): "lacks region",
        json.dumps(FIELDS | {"region": ""}): "names no region",
        json.dumps(FIELDS | {"environment": "x"}): "environment is 'x'",
        json.dumps(FIELDS | {"project": "other1"}): "that of other1, not of example",
    }.items():
        with pytest.raises(FailedError, match=fault):
            deployment.parse(text, "example")


def test_app_yaml_is_laid_under_what_terraform_knows() -> None:
    app = rendered.app_engine(APP, made(vpc_connector="c"))
    assert app["env_variables"] == {
        "DB_NAME": "theirs",
        "TASKS_TARGET": "appengine",
        "KEPT": "1",
        "MEDIA_BUCKET": "b",
    }
    assert (app["service_account"], app["vpc_access_connector"]) == ("web@example", {"name": "c"})
    assert "vpc_access_connector" not in rendered.app_engine(APP, made())
    assert APP["env_variables"]["DB_NAME"] == "ours"  # type: ignore[index]


def test_the_container_is_told_what_app_engine_says_itself() -> None:
    environment = rendered.cloud_run(APP, made(), "https://web-1.europe-west1.run.app", "candidate")
    assert environment["TASKS_TARGET"] == "http"
    assert environment["TASKS_URL"] == environment["TASKS_AUDIENCE"] == "https://web-1.europe-west1.run.app"
    assert (environment["GOOGLE_CLOUD_PROJECT"], environment["DB_NAME"]) == ("example", "theirs")
    assert (environment["CLOUD_RUN_TAGS"], environment["TASKS_SERVICE_ACCOUNT"]) == (
        "candidate",
        "tasks@example",
    )


def test_a_laptop_s_variables_lose_to_the_file_and_it_to_what_is_assigned() -> None:
    text = "env_variables: {DB_HOST: file, NUMBER: 5}"
    found = with_environment.environment(text, {"DB_HOST": "laptop", "PATH": "p"}, {"BUILD_MODE": "1"})
    assert found == {"DB_HOST": "file", "NUMBER": "5", "PATH": "p", "BUILD_MODE": "1"}
    assert with_environment.environment("A: x", {}, {"A": "y"}) == {"A": "y"}
