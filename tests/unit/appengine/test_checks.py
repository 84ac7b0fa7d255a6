from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from google.cloud import ndb

APP_ENGINE = {"TARGET": "appengine", "PROJECT": "p", "LOCATION": "l"}
HTTP = {
    "TARGET": "http",
    "PROJECT": "p",
    "LOCATION": "l",
    "URL": "u",
    "AUDIENCE": "a",
    "SERVICE_ACCOUNT": "s",
}

JOBS = {"sweep": "os.getcwd"}
BROKEN_JOBS = {"sweep": "no.such.function"}


class CheckedKind(ndb.Model):
    place = ndb.StringProperty("p")
    note = ndb.TextProperty()


@pytest.fixture
def project(settings: Any, tmp_path: Path) -> Path:
    """A folder for the YAML files, with settings in which nothing is wrong."""
    settings.BASE_DIR = tmp_path
    settings.CRON_JOBS = "tests.unit.appengine.test_checks.JOBS"
    configure(settings, APP_ENGINE)
    return tmp_path


def configure(settings: Any, options: dict[str, str], recorded: dict[str, str] | None = None) -> None:
    backend = {"BACKEND": "apps.appengine.tasks.backend.CloudTasksBackend", "QUEUES": ["default", "slow"]}
    settings.TASKS = {
        "default": backend | {"OPTIONS": options},
        "recorded": backend | {"OPTIONS": options if recorded is None else recorded},
    }


def found(*, deploy: bool = False) -> set[str]:
    """The ids of this platform's findings."""
    messages = checks.run_checks(tags=["appengine"], include_deployment_checks=deploy)
    return {message.id.removeprefix("appengine.") for message in messages}


@pytest.mark.usefixtures("project")
def test_a_project_without_yaml_files_has_nothing_to_compare() -> None:
    assert found() == set()


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (APP_ENGINE, set()),
        (HTTP, set()),
        (APP_ENGINE | {"TARGET": "app-engine"}, {"E001"}),
        (APP_ENGINE | {"PROJECT": ""}, {"E002"}),
        (APP_ENGINE | {"LOCATION": ""}, {"E002"}),
        (HTTP | {"AUDIENCE": ""}, {"E002"}),
        (APP_ENGINE | {"TARGET": ""}, {"W001"}),
        ({}, {"W001"}),
    ],
)
@pytest.mark.usefixtures("project")
def test_the_target_and_its_options_are_checked(
    settings: Any, options: dict[str, str], ids: set[str]
) -> None:
    configure(settings, options)

    assert found() == ids


@pytest.mark.usefixtures("project")
def test_backends_may_not_differ_in_whom_they_trust(settings: Any) -> None:
    configure(settings, HTTP, HTTP | {"AUDIENCE": "other"})
    assert found() == {"E003"}
    configure(settings, HTTP, HTTP | {"URL": "other"})
    assert found() == set()


@pytest.mark.usefixtures("project")
def test_a_developer_without_a_queue_server_is_warned(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DEBUG = True
    monkeypatch.delenv("CLOUD_TASKS_EMULATOR_HOST", raising=False)
    assert found() == {"W001"}
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1")
    assert found() == set()


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["default", "slow"], set()),
        (["slow"], set()),
        (["default"], {"E011"}),
        (["default", "slow", "fast"], {"E012"}),
        ([7], {"E010"}),
    ],
)
def test_queues_equal_queue_yaml(project: Path, names: list[Any], ids: set[str]) -> None:
    entries = "".join(f"- name: {name}\n  rate: 1/s\n" for name in names)
    (project / "queue.yaml").write_text(f"queue:\n{entries}")

    assert found() == ids


@pytest.mark.parametrize(
    ("urls", "ids"),
    [
        (["/_cron/sweep"], set()),
        ([], {"E025"}),
        (["/_cron/sweep", "/_cron/other"], {"E024"}),
        (["/_cron/sweep", "/_cron/sweep"], {"E023"}),
        (["/_cron/sweep", "/elsewhere"], {"E022"}),
        (["nowhere"], {"E021"}),
    ],
)
def test_cron_jobs_equal_cron_yaml(project: Path, urls: list[str], ids: set[str]) -> None:
    entries = "".join(f"- url: {url}\n  schedule: every 1 minutes\n" for url in urls)
    (project / "cron.yaml").write_text(f"cron:\n{entries}" if urls else "cron: []\n")

    assert found() == ids


@pytest.mark.usefixtures("project")
def test_each_cron_job_can_be_imported(settings: Any) -> None:
    settings.CRON_JOBS = "tests.unit.appengine.test_checks.BROKEN_JOBS"

    assert found() == {"E020"}


@pytest.mark.parametrize(
    ("kind", "properties", "ids"),
    [
        ("CheckedKind", ["p", "__key__"], set()),
        ("CheckedKind", ["place"], {"E032"}),
        ("CheckedKind", ["note"], {"E032"}),
        ("Nothing", ["p"], {"E031"}),
    ],
)
def test_indexes_name_indexed_properties_of_models(
    project: Path, kind: str, properties: list[str], ids: set[str]
) -> None:
    names = "".join(f"  - name: {name}\n" for name in properties)
    (project / "index.yaml").write_text(f"indexes:\n- kind: {kind}\n  properties:\n{names}")

    assert found() == ids


@pytest.mark.parametrize("text", ["", "indexes:\n"])
def test_an_index_yaml_without_indexes_is_fine(project: Path, text: str) -> None:
    (project / "index.yaml").write_text(text)

    assert found() == set()


@pytest.mark.parametrize("text", ["[", "indexes: [1]", "indexes:\n- properties: []"])
def test_an_index_yaml_that_cannot_be_read_is_said(project: Path, text: str) -> None:
    (project / "index.yaml").write_text(text)

    assert found() == {"E030"}


@pytest.mark.usefixtures("project")
def test_what_must_not_be_deployed_is_fine_on_a_laptop(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RUNTIME", "1")
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1")
    settings.DEBUG = True
    assert {"E040", "E041", "E043"} <= found(deploy=True)
    assert found() == set()

    configure(settings, {})
    assert {"E042"} <= found(deploy=True)


def test_this_project_passes_its_own_checks() -> None:
    assert found() == set()
