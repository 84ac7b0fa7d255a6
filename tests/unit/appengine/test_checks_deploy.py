"""`manage.py check --deploy`: the project's own files and settings, with one mistake at a time."""

import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from apps.appengine import app_yaml, queue_yaml

ROOT = Path(__file__).resolve().parents[3]
FILES = ["app.yaml", "queue.yaml", "cron.yaml", "index.yaml", "requirements.txt", "pyproject.toml"]
PROJECT_ID = "my-project"  # the one that app.yaml comes with
THREADS = "--threads 32"
HTTP_TARGET = {
    "TASKS_TARGET": "http",
    "TASKS_URL": "https://web-1.a.run.app",
    "TASKS_AUDIENCE": "https://web-1.a.run.app",
    "TASKS_SERVICE_ACCOUNT": "tasks@my-project.iam.gserviceaccount.com",
}
WITHOUT_ROUTES: list[Any] = []
urlpatterns = WITHOUT_ROUTES  # a site that includes nothing of the platform


@dataclass
class Project:
    """A folder with the repository's own files, checked under the production settings."""

    folder: Path
    settings: Any
    monkeypatch: pytest.MonkeyPatch

    def replace(self, file: str, old: str, new: str) -> None:
        """Plant a mistake: the first `old` becomes `new`. At the file's end where `old` is empty."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} no longer has {old!r}"
        path.write_text(text.replace(old, new, 1) if old else text + new)

    def variables(self, **added: str) -> None:
        """Give app.yaml these environment variables, in place of its own."""
        path = self.folder / "app.yaml"
        text = path.read_text()
        for name, value in added.items():
            text = re.sub(rf"^  {name}: .*\n", "", text, flags=re.MULTILINE) + f'  {name}: "{value}"\n'
        path.write_text(text)

    def load(self) -> None:
        """The settings of production, as app.yaml makes them; those of the repository where it does not."""
        os.environ["APP_YAML"] = str(self.folder / "app.yaml")
        try:
            production = fresh_production()
        except (ImproperlyConfigured, ValueError, OSError):
            os.environ["APP_YAML"] = str(ROOT / "app.yaml")
            production = fresh_production()
        finally:
            os.environ["APP_YAML"] = "app.yaml"
        for name in dir(production):
            if name.isupper() and getattr(production, name) != getattr(django_settings, name, None):
                self.override(name, getattr(production, name))
        self.override("BASE_DIR", self.folder)
        self.override("STATIC_ROOT", self.folder / "static_root")
        self.override("SETTINGS_MODULE", "mysite.settings.production")

    def override(self, name: str, value: Any) -> None:
        """A setting until the test ends; nobody is to open another database."""
        if name == "DATABASES":
            self.monkeypatch.setattr(django_settings, name, value)
        else:
            setattr(self.settings, name, value)

    def findings(self) -> list[checks.CheckMessage]:
        """Ours and Django's on security, apart from those that are silenced; the command runs them all."""
        found = checks.run_checks(tags=["appengine", "security"], include_deployment_checks=True)
        return [message for message in found if not message.is_silenced()]

    def ids(self) -> set[str]:
        return {str(message.id).rpartition(".")[2] for message in self.findings()}


def fresh_production() -> Any:
    """mysite.settings.production, read anew from this environment."""
    names = ("mysite.settings.base", "mysite.settings.production")
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    try:
        return importlib.import_module("mysite.settings.production")
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(kept)


@pytest.fixture
def project(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """In the environment that a deploy checks in."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    environment = {"BUILD_MODE": "1", "GOOGLE_CLOUD_PROJECT": PROJECT_ID, "PATH": os.environ["PATH"]}
    with mock.patch.dict(os.environ, environment, clear=True):
        yield Project(tmp_path, settings, monkeypatch)


def text_of(message: checks.CheckMessage) -> str:
    return f"{message.msg} {message.hint or ''}"


def assert_said(project: Project, id_: str, *says: str) -> None:
    found = [message for message in project.findings() if str(message.id) == f"appengine.{id_}"]
    assert found, f"{id_} is not among {project.ids()}"
    assert (found[0].level >= checks.ERROR) == id_.startswith("E")
    text = " ".join(map(text_of, found))
    assert not [words for words in says if words not in text], text


def test_the_repository_s_own_files_under_production_settings_have_nothing(project: Project) -> None:
    project.load()

    assert project.findings() == []


# Each with its id, the file, what is replaced, by what, and what the message says: the place, the figure
# and the change to make.
IN_FILES: dict[str, tuple[Any, ...]] = {
    "queue-stopped": ("E014", "queue.yaml", "rate: 5/s", "rate: 0", "default has rate 0", "Write a rate"),
    "queue-sends-elsewhere": (
        *("E015", "queue.yaml", "rate: 5/s", "rate: 5/s\n    target: worker"),
        *("default has target: worker", "Remove the line"),
    ),
    "tasks-lost-after-one-failure": (
        *("W016", "queue.yaml", "task_retry_limit: 10", "task_retry_limit: 0"),
        *("task_retry_limit: 0", "Write 3 or more"),
    ),
    "daily-job-without-retries": (
        *("W027", "cron.yaml", "cron:", "cron:\n  - url: /_cron/daily\n    schedule: every day 03:00\n"),
        *("/_cron/daily runs every 24 hours", "Add retry_parameters"),
    ),
    "no-entrypoint": (
        "E050",
        "app.yaml",
        "entrypoint: gunicorn",
        "# gunicorn",
        "app.yaml: entrypoint is missing",
    ),
    "old-python": (
        *("E052", "app.yaml", "runtime: python313", "runtime: python311"),
        *("runtime is python311", "`runtime: python313`"),
    ),
    "another-application": (
        *("E053", "app.yaml", "main:app", "mysite.wsgi:application"),
        *("serves mysite.wsgi:application", "main:app"),
    ),
    "no-gunicorn-in-the-entrypoint": (
        *("E053", "app.yaml", "entrypoint: gunicorn", "entrypoint: uvicorn"),
        *("it starts uvicorn, not gunicorn", "Write `entrypoint: gunicorn"),
    ),
    "an-option-that-gunicorn-has-not": (
        *("E053", "app.yaml", THREADS, "--thread-pool 32"),
        *("gunicorn refuses it", "--thread-pool"),
    ),
    "gunicorn-not-installed": (
        *("E054", "requirements.txt", "\ngunicorn==", "\nnot-gunicorn=="),
        *("requirements.txt lacks gunicorn", "make requirements"),
    ),
    "a-port-of-its-own": (
        *("E055", "app.yaml", THREADS, f"{THREADS} --bind 0.0.0.0:8000"),
        *("--bind 0.0.0.0:8000", "Remove --bind"),
    ),
    "preload": ("E056", "app.yaml", THREADS, f"{THREADS} --preload", "Remove --preload"),
    "timeout-of-a-laptop": (
        *("E057", "app.yaml", "--timeout 0", "--timeout 60"),
        *("after 60 s", "600 s", "Write --timeout 0"),
    ),
    "gunicorn-s-own-timeout": ("E057", "app.yaml", "--timeout 0 ", "", "after 30 s", "Write --timeout 0"),
    "workers-for-which-there-is-no-memory": (
        *("W058", "app.yaml", "--workers 1", "--workers 4"),
        *("4 workers need about 760 MB", "an F1 has 384", "Write --workers 2"),
    ),
    "instances-for-which-there-are-no-connections": (
        *("E060", "app.yaml", "max_instances: 2", "max_instances: 5"),
        *(
            "5 instances x 1 workers x 32 threads may open 160",
            "allows 100",
            "max_instances to 2",
            "160 + 10 > 100",
        ),
    ),
    "threads-for-which-there-are-no-connections": (
        *("E060", "app.yaml", THREADS, "--threads 64"),
        *("2 instances x 1 workers x 64 threads may open 128", "max_instances to 1"),
    ),
    "more-threads-than-connections": (
        *("E060", "app.yaml", THREADS, "--threads 200"),
        *("may open 400", "Lower --threads to 90"),
    ),
    "connections-of-the-smallest-instance": (
        *("E060", "app.yaml", '  DB_MAX_CONNECTIONS: "100"\n', ""),
        *("the database allows 25", "Lower --threads to 15"),
    ),
    "no-bound-to-instances": (
        *("E061", "app.yaml", "  max_instances: 2\n", ""),
        *("max_instances is missing", "Set automatic_scaling.max_instances to 2"),
    ),
    "more-requests-than-threads": (
        *("E062", "app.yaml", "max_concurrent_requests: 31", "max_concurrent_requests: 80"),
        *("max_concurrent_requests is 80", "1 x 32 threads", "Write 31"),
    ),
    "threads-that-get-nothing": (
        *("W063", "app.yaml", "  max_concurrent_requests: 31\n", ""),
        *("max_concurrent_requests is 10", "Write 31", "22 threads of 32"),
    ),
    "queues-that-take-every-thread": (
        *("E064", "queue.yaml", "max_concurrent_requests: 2", "max_concurrent_requests: 60"),
        *("60 (default)", "work on 62 requests", "Lower them to 55 together"),
    ),
    "a-queue-without-a-bound": (
        *("E064", "queue.yaml", "    max_concurrent_requests: 2\n", ""),
        *("1000 (default)", "raise max_instances"),
    ),
    "least-instances-above-the-most": (
        *("E067", "app.yaml", "max_instances: 2", "max_instances: 2\n  min_instances: 3"),
        *("min_instances is 3, max_instances 2", "Lower the first"),
    ),
    "no-warmup": (
        "W070",
        "app.yaml",
        "- warmup",
        "- warmup_requests",
        "Add `inbound_services: [warmup]`",
    ),
    "https-for-tasks": (
        *("E080", "app.yaml", "    script: auto", "    script: auto\n    secure: always"),
        *("/.* has `secure: always`", "Remove the line there"),
    ),
    "nothing-reaches-the-app": (
        *("E081", "app.yaml", "  - url: /.*\n    script: auto\n", ""),
        *("/_tasks/default/a.task does not reach the app", "End the list with `- url: /.*`"),
    ),
    "a-file-for-everything": (
        *("E081", "app.yaml", "    script: auto", "    static_files: index.html\n    upload: index.html"),
        *("/_tasks/default/a.task does not reach the app: /.* takes it", "`script: auto`"),
    ),
    "the-app-before-its-static-files": (
        *("E082", "app.yaml", "handlers:\n", "handlers:\n  - url: /.*\n    script: auto\n"),
        *("/.* comes before /static", "Move /static above it"),
    ),
    "no-static-files": (
        *("E083", "app.yaml", "url: /static\n", "url: /assets\n"),
        *("no handler serves /static/", "`- url: /static` with `static_dir: static_root`"),
    ),
    "a-folder-that-collectstatic-does-not-fill": (
        *("E084", "app.yaml", "static_dir: static_root", "static_dir: static"),
        *("`static_dir: static`", "Write `static_dir: static_root`"),
    ),
    "a-sign-in-that-nobody-does": (
        *("E086", "app.yaml", "    script: auto", "    script: auto\n    login: admin"),
        *("`login: admin`", "Remove it"),
    ),
    "another-project-s-database": (
        *("W091", "app.yaml", "my-project:europe-west1:main", "another:europe-west1:main"),
        *("of the project another", "Write my-project:europe-west1:..."),
    ),
    "a-database-far-away": (
        *("W092", "app.yaml", "my-project:europe-west1:main", "its:us-east1:main"),
        *("is in us-east1", "CLOUD_TASKS_LOCATION is europe-west1", "Correct the one"),
    ),
    "no-connection-name": (
        *("E093", "app.yaml", "my-project:europe-west1:main", "main"),
        *("INSTANCE_CONNECTION_NAME is main", "Write project:region:instance"),
    ),
    "a-secret-that-nobody-names": (
        *("E100", "app.yaml", ",DB_PASSWORD=db-password:1", ""),
        *("SECRETS lacks DB_PASSWORD", "Add DB_PASSWORD=db-password:1"),
    ),
    "the-latest-secret": (
        *("E101", "app.yaml", "django-secret-key:1", "django-secret-key:latest"),
        *("SECRETS asks for the latest django-secret-key", "Pin a number"),
    ),
}


def cases(mistakes: dict[str, tuple[Any, ...]], fixed: int) -> list[Any]:
    """Parameters of a test: the first `fixed` as they are, the rest as one tuple."""
    return [
        pytest.param(*mistake[:fixed], mistake[fixed:], id=f"{mistake[0]}-{name}")
        for name, mistake in mistakes.items()
    ]


@pytest.mark.parametrize(("id_", "file", "old", "new", "says"), cases(IN_FILES, 4))
def test_a_mistake_in_a_file_is_found(
    project: Project, id_: str, file: str, old: str, new: str, says: tuple[str, ...]
) -> None:
    project.replace(file, old, new)
    project.load()

    assert_said(project, id_, *says)


VARIABLES: dict[str, tuple[Any, ...]] = {
    "secret-in-the-file": (
        *("E102", {"DJANGO_SECRET_KEY": "hunter2-hunter2"}),
        *("the value of DJANGO_SECRET_KEY stands in the file", "add DJANGO_SECRET_KEY=django-secret-key:1"),
    ),
    "password-of-something-else-in-the-file": (
        *("E102", {"MAIL_PASSWORD": "hunter2-hunter2"}),
        *("the value of MAIL_PASSWORD stands in the file", "remove the line"),
    ),
    "local-runtime": ("E041", {"LOCAL_RUNTIME": "1"}, "LOCAL_RUNTIME is set", "Remove it"),
    "datastore-emulator": (
        "E043",
        {"DATASTORE_EMULATOR_HOST": "h:1"},
        "Remove it from app.yaml, env_variables",
    ),
    "tasks-emulator": ("E043", {"CLOUD_TASKS_EMULATOR_HOST": "h:1"}, "CLOUD_TASKS_EMULATOR_HOST is set"),
    "secrets-emulator": (
        "E043",
        {"SECRET_MANAGER_EMULATOR_HOST": "h:1"},
        "SECRET_MANAGER_EMULATOR_HOST is set",
    ),
    "storage-emulator": ("E043", {"STORAGE_EMULATOR_HOST": "h:1"}, "STORAGE_EMULATOR_HOST is set"),
    "build-mode": ("E044", {"BUILD_MODE": "1"}, "BUILD_MODE is set", "Remove the line"),
    "every-host": ("E045", {"ALLOWED_HOSTS": "*"}, "'*'", "Write the host names"),
    "everybody-s-hosts": ("E045", {"ALLOWED_HOSTS": ".appspot.com"}, "the services of others"),
    "everybody-s-hosts-on-cloud-run": ("E045", {"ALLOWED_HOSTS": "a.example,.run.app"}, "'.run.app'"),
    "no-domain": ("E049", {"APPSPOT_DOMAIN": ""}, "APPSPOT_DOMAIN is missing", "gcloud app describe"),
    "debug-log": ("W048", {"LOG_LEVEL": "debug"}, "LOG_LEVEL is DEBUG", "write INFO"),
    "no-target": ("E042", {"TASKS_TARGET": ""}, "is empty", "Set TASKS_TARGET"),
    "local-settings": (
        *("E090", {"DJANGO_SETTINGS_MODULE": "mysite.settings.local"}),
        *("DJANGO_SETTINGS_MODULE is mysite.settings.local", "Correct the line"),
    ),
    "redis-outside-of-reach": (
        *("E114", {"REDIS_HOST": "10.1.2.3"}),
        *("REDIS_HOST is 10.1.2.3", "Add vpc_access_connector"),
    ),
    "sqlite": ("E111", {"INSTANCE_CONNECTION_NAME": ""}, "SQLite", "Set INSTANCE_CONNECTION_NAME"),
    "media-on-the-instance": ("E116", {"MEDIA_BUCKET": ""}, "is a folder", "Set MEDIA_BUCKET"),
    "tasks-over-http": (
        *("E004", HTTP_TARGET | {"TASKS_URL": "http://web-1.a.run.app"}),
        *("http://web-1.a.run.app", "Set TASKS_URL to the service's https://"),
    ),
    "a-token-for-nobody": ("E005", HTTP_TARGET | {"TASKS_AUDIENCE": "web"}, "is web", "Set TASKS_AUDIENCE"),
    "no-service-account": (
        *("E006", HTTP_TARGET | {"TASKS_SERVICE_ACCOUNT": "tasks"}),
        *("is tasks, no service account", "Set TASKS_SERVICE_ACCOUNT"),
    ),
}


@pytest.mark.parametrize(("id_", "variables", "says"), cases(VARIABLES, 2))
def test_a_mistake_in_the_variables_is_found(
    project: Project, id_: str, variables: dict[str, str], says: tuple[str, ...]
) -> None:
    project.variables(**variables)
    project.load()

    assert_said(project, id_, *says)
    assert "hunter2" not in " ".join(map(text_of, project.findings()))


def database(**changed: Any) -> dict[str, Any]:
    tcp = {
        "HOST": "db.example.com",
        "OPTIONS": {"sslmode": "require"},
        "CONN_MAX_AGE": 300,
        "CONN_HEALTH_CHECKS": True,
    }
    return {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "app"} | tcp | changed}


SETTINGS: dict[str, tuple[Any, ...]] = {
    "debug": ("E040", {"DEBUG": True}, "DEBUG is on", "Deploy with settings in which it is off"),
    "tasks-redirected": ("E046", {"SECURE_REDIRECT_EXEMPT": [r"^_cron/", r"^_ah/"]}, 'Add r"^_tasks/"'),
    "cron-redirected": ("E046", {"SECURE_REDIRECT_EXEMPT": [r"^_tasks/", r"^_ah/"]}, 'Add r"^_cron/"'),
    "warmup-redirected": ("E046", {"SECURE_REDIRECT_EXEMPT": [r"^_tasks/", r"^_cron/"]}, 'Add r"^_ah/"'),
    "redirect-to-itself": ("E047", {"SECURE_PROXY_SSL_HEADER": None}, "HTTP_X_FORWARDED_PROTO"),
    "warmup-without-route": (
        "W071",
        {"ROOT_URLCONF": __name__},
        "no route answers /_ah/warmup",
        "Include apps.appengine",
    ),
    "known-key": (
        "E103",
        {"SECRET_KEY": "local-only-key-never-used-in-production-000"},
        "known to everybody",
    ),
    "plain-tcp": (
        *("E110", {"DATABASES": database(OPTIONS={})}),
        *("db.example.com over TCP with sslmode=prefer", "Set OPTIONS['sslmode'] to require"),
    ),
    "connection-a-request": (
        "W112",
        {"DATABASES": database(CONN_MAX_AGE=0)},
        "CONN_MAX_AGE",
        "Write seconds",
    ),
    "dead-connections": (
        *("W113", {"DATABASES": database(CONN_HEALTH_CHECKS=False)}),
        *("CONN_HEALTH_CHECKS", "Write True"),
    ),
    "private-database-outside-of-reach": (
        *("E114", {"DATABASES": database(HOST="10.9.9.9")}),
        *("DB_HOST is 10.9.9.9", "Add vpc_access_connector"),
    ),
}


@pytest.mark.parametrize(("id_", "changed", "says"), cases(SETTINGS, 2))
def test_a_mistake_in_the_settings_is_found(
    project: Project, id_: str, changed: dict[str, Any], says: tuple[str, ...]
) -> None:
    project.load()
    for name, value in changed.items():
        project.override(name, value)

    assert_said(project, id_, *says)


@pytest.mark.parametrize(
    ("id_", "file"),
    [("E051", "app.yaml"), ("E013", "queue.yaml"), ("E026", "cron.yaml"), ("E054", "requirements.txt")],
)
def test_a_file_that_is_missing_is_said(
    project: Project, id_: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.load()
    project.override("CRON_JOBS", f"{__name__}.JOBS")
    (project.folder / file).unlink()

    assert_said(project, id_, f"{file} is missing")


JOBS = {"some-job": "os.getcwd"}


def test_rates_that_no_instance_can_reach_are_said(project: Project) -> None:
    project.replace("queue.yaml", "rate: 5/s", "rate: 500/s")
    project.replace("app.yaml", THREADS, "--threads 1")
    project.replace("app.yaml", "max_concurrent_requests: 31", "max_concurrent_requests: 1")
    project.load()

    assert_said(
        project, "W066", "/s, and app.yaml allows 2 requests at once", "at most 100/s", "2 / 0.02 s = 100/s"
    )


def test_the_example_s_project_left_in_app_yaml_is_said(project: Project) -> None:
    os.environ["GOOGLE_CLOUD_PROJECT"] = "shop"
    project.variables(APPSPOT_DOMAIN="shop.ew.r.appspot.com")
    project.load()

    assert project.ids() == {"E091"}
    assert_said(
        project,
        "E091",
        "INSTANCE_CONNECTION_NAME, MEDIA_BUCKET",
        "belongs to shop",
        "make deploy PROJECT=shop",
    )


def test_a_check_of_other_settings_than_those_of_app_yaml_says_so(project: Project) -> None:
    project.load()
    project.replace("app.yaml", "DB_NAME: app", "DB_NAME: other")

    assert project.ids() == {"W094"}
    assert_said(project, "W094", "app.yaml sets DB_NAME", "APP_YAML=app.yaml")


def test_what_app_yaml_sets_counts_also_where_the_check_did_not_see_it(project: Project) -> None:
    project.load()
    project.variables(DATASTORE_EMULATOR_HOST="127.0.0.1:1")

    assert project.ids() == {"E043", "W094"}


def test_a_rendered_app_yaml_is_checked_in_place_of_the_other(project: Project) -> None:
    project.load()
    shutil.copy(project.folder / "app.yaml", project.folder / "app.shop.yaml")
    project.replace("app.shop.yaml", "runtime: python313", "runtime: python39")
    assert project.ids() == set()

    os.environ["APP_YAML"] = "app.shop.yaml"
    assert_said(project, "E052", "app.shop.yaml: runtime is python39")


def test_on_cloud_run_app_yaml_is_not_looked_at(project: Project) -> None:
    project.variables(**HTTP_TARGET)
    project.load()
    project.replace("app.yaml", THREADS, "--threads 500 --preload")

    assert project.ids() == set()


def test_on_cloud_run_secrets_are_those_of_the_environment(project: Project) -> None:
    project.variables(**HTTP_TARGET, SECRETS="DB_PASSWORD=db-password:1")
    project.load()

    assert_said(project, "E100", "the environment: SECRETS lacks DJANGO_SECRET_KEY")
    os.environ["DJANGO_SECRET_KEY"] = os.environ["FIELD_ENCRYPTION_KEYS"] = "given by the service"
    assert "E100" not in project.ids()


@pytest.mark.parametrize(("allowed", "ids"), [("74", set()), ("73", {"E060"})])
def test_the_last_connection_counts(project: Project, allowed: str, ids: set[str]) -> None:
    project.variables(DB_MAX_CONNECTIONS=allowed)  # 2 x 1 x 32, and 10
    project.load()

    assert project.ids() == ids


@pytest.mark.parametrize(("too_many", "ids"), [(0, set()), (1, {"E064"})])
def test_the_last_thread_counts(project: Project, too_many: int, ids: set[str]) -> None:
    queues = queue_yaml.read(ROOT / "queue.yaml").values()
    others = sum(queue.max_concurrent_requests for queue in queues if queue.name != "default")
    fitting = 55 - others  # nine tenths of 2 x 31
    project.replace("queue.yaml", "requests: 2", f"requests: {fitting + too_many}")
    project.load()

    assert project.ids() == ids


@pytest.mark.parametrize(("sent", "ids"), [(32, set()), (33, {"E062"}), (17, set()), (16, {"W063"})])
def test_requests_fit_threads(project: Project, sent: int, ids: set[str]) -> None:
    project.replace("app.yaml", "max_concurrent_requests: 31", f"max_concurrent_requests: {sent}")
    project.load()

    assert project.ids() & {"E062", "W063"} == ids


@pytest.mark.parametrize(("seconds", "ids"), [(0, set()), (599, {"E057"}), (600, set())])
def test_a_timeout_of_the_request_deadline_is_long_enough(
    project: Project, seconds: int, ids: set[str]
) -> None:
    project.replace("app.yaml", "--timeout 0", f"--timeout {seconds}")
    project.load()

    assert project.ids() == ids


def test_connections_do_not_count_without_a_database_server(project: Project) -> None:
    project.variables(INSTANCE_CONNECTION_NAME="")
    project.replace("app.yaml", "max_instances: 2", "max_instances: 5")
    project.load()

    assert "E060" not in project.ids()


@pytest.mark.parametrize(
    ("given", "workers"),
    [("GUNICORN_CMD_ARGS: --workers 9", 9), ("WEB_CONCURRENCY: 9", 9), ("GUNICORN_CMD_ARGS: --threads 9", 1)],
)
def test_what_gunicorn_reads_from_the_environment_counts(project: Project, given: str, workers: int) -> None:
    project.replace("app.yaml", "--workers 1 ", "")
    project.replace("app.yaml", "env_variables:\n", f"env_variables:\n  {given}\n")
    project.load()

    said = [message.msg for message in project.findings() if message.id == "appengine.E060"]
    assert bool(said) == (workers > 1)
    assert all(f"x {workers} workers x 32 threads" in text for text in said)


def test_private_addresses_are_reached_with_vpc_access(project: Project) -> None:
    project.variables(REDIS_HOST="10.1.2.3")
    project.replace("app.yaml", "handlers:", "vpc_access_connector:\n  name: x\n\nhandlers:")
    project.load()

    assert project.ids() == set()


@pytest.mark.parametrize("setting", ["bucket", "whitenoise"])
def test_static_files_that_app_engine_does_not_serve_need_no_handler(project: Project, setting: str) -> None:
    project.replace("app.yaml", "url: /static\n", "url: /assets\n")
    if setting == "bucket":
        project.variables(STATIC_BUCKET="my-project-static")
    project.load()
    if setting == "whitenoise":
        project.override("MIDDLEWARE", ["whitenoise.middleware.WhiteNoiseMiddleware"])

    assert "E083" not in project.ids()


def test_it_calls_nobody_and_reads_no_secret(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Never:
        raise AssertionError(f"a check called {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("apps.appengine.secret_manager.read", refuse)
    project.load()

    assert project.ids() == set()


def check_deploy(**variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a deploy runs it."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "BUILD_MODE": "1",
        "APP_YAML": "app.yaml",
    }
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    command += ["--settings", "mysite.settings.production"]
    return subprocess.run(
        command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=False
    )


def test_the_command_passes_for_the_project_that_app_yaml_names() -> None:
    done = check_deploy(GOOGLE_CLOUD_PROJECT=PROJECT_ID)

    assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr


def test_the_command_fails_for_another_project_until_app_yaml_is_edited() -> None:
    done = check_deploy(GOOGLE_CLOUD_PROJECT="shop")

    assert done.returncode
    assert "my-project" in done.stderr
    assert "write into app.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_id_has_a_test() -> None:
    folder = ROOT / "apps/appengine/checks"
    ids = set(
        re.findall(r'"appengine\.([EW]\d{3})"', "".join(one.read_text() for one in folder.glob("*.py")))
    )
    tests = "".join(one.read_text() for one in Path(__file__).parent.glob("test_checks*.py"))
    assert len(ids) > 25
    assert ids == ids & set(re.findall(r'"([EW]\d{3})"', tests))


def test_app_yaml_of_the_repository_is_read_whole() -> None:
    app = app_yaml.read(ROOT / "app.yaml")

    assert app.scaling.max_instances == 2
    assert app.env_variables["TASKS_TARGET"] == "appengine"
    assert app.inbound_services == {"warmup"}
