"""What the image would be, made by its Dockerfile's own lines, started by its own command, asked over TCP.

The image itself is not built: that needs a registry. Different are the Python, which is the project's, the
user, who is whoever runs the tests, and the kernel around it.
"""

import http.client
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.appengine.local.preflight import free_port
from tests import container_image

HOST = "web-123.europe-west1.run.app"
DEPLOYED = {
    "GOOGLE_CLOUD_PROJECT": "some-project",
    "DJANGO_SECRET_KEY": "not-a-secret-but-as-long-as-one-has-to-be-000000000",
    "FIELD_ENCRYPTION_KEYS": "k:bm90LWEta2V5LWJ1dC1hcy1sb25nLWFzLW9uZS0wMDA=",
    "CLOUD_TASKS_LOCATION": "europe-west1",
    "TASKS_URL": f"https://{HOST}",
    "TASKS_AUDIENCE": f"https://{HOST}",
    "TASKS_SERVICE_ACCOUNT": "tasks@some-project.iam.gserviceaccount.com",
    "SQLITE_PATH": "/nonexistent/db",
    "DATASTORE_EMULATOR_HOST": "127.0.0.1:1",  # nothing here asks it, and nobody asks for credentials
}
HTTPS = {"Host": HOST, "X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/app of the image."""
    return container_image.build(tmp_path_factory.mktemp("image"))


@contextmanager
def started(app: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The container's command as Cloud Run starts it, once it answers."""
    port = free_port()
    environment = container_image.environment(PORT=str(port), **container_image.CLOUD_RUN, **DEPLOYED)
    with subprocess.Popen(container_image.command(), cwd=app, env=environment) as process:
        try:
            deadline = time.monotonic() + 60
            while not answers(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield process, port
        finally:
            process.kill()


@pytest.fixture(scope="module")
def port(app: Path) -> Iterator[int]:
    with started(app) as (_, port):
        yield port


def answers(port: int) -> bool:
    try:
        return get(port, "/health", {})[0] == 200
    except OSError:
        return False


def get(port: int, path: str, headers: dict[str, str] = HTTPS) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_it_says_which_revision_answers_a_probe_from_beside_it(port: int) -> None:
    status, _, body = get(port, "/health", {"Host": "10.0.0.1:8080"})
    assert (status, json.loads(body)) == (200, {"status": "ok", "version": "web-00001-abc"})


def test_it_answers_under_its_own_host_by_https_only(port: int) -> None:
    assert get(port, "/sign-in-that-is-not-there")[0] == 404
    status, headers, _ = get(port, "/sign-in", {"Host": HOST, "X-Forwarded-Proto": "http"})
    assert (status, headers["location"]) == (301, f"https://{HOST}/sign-in")
    for other in ("some-project.appspot.com", "web-999.europe-west1.run.app", "localhost"):
        assert get(port, "/sign-in", HTTPS | {"Host": other})[0] == 400, other


def test_forged_headers_run_no_task_and_no_job(port: int) -> None:
    forged = {"X-AppEngine-QueueName": "default", "X-Appengine-Cron": "true", "X-CloudScheduler": "true"}
    assert get(port, "/_cron/sweep", HTTPS | forged)[0] == 403
    assert get(port, "/_tasks/default/x.y", HTTPS | forged)[0] == 403


def test_it_serves_a_hashed_file_compressed_and_for_ever(app: Path, port: int) -> None:
    path = hashed(app)
    status, headers, body = get(port, path, HTTPS | {"Accept-Encoding": "gzip"})
    assert (status, headers["content-encoding"], headers["vary"]) == (200, "gzip", "Accept-Encoding")
    assert "immutable" in headers["cache-control"]
    assert "access-control-allow-origin" not in headers
    plain = get(port, path)[2]
    assert plain == (app / "static_root" / path.removeprefix("/static/")).read_bytes()
    assert len(body) < len(plain)


def test_a_name_without_its_hash_is_kept_as_long_as_app_yaml_says(port: int) -> None:
    status, headers, _ = get(port, "/static/core/site.css")
    assert (status, headers["cache-control"]) == (200, "max-age=3600, public")


def test_only_collected_files_are_served(port: int) -> None:
    for path in ("/static/../main.py", "/static/%2e%2e/main.py", "/static/", "/static/core/", "/main.py"):
        assert get(port, path)[0] == 404, path


def test_sigterm_ends_it_before_cloud_run_would_kill_it(app: Path) -> None:
    with started(app) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_nothing_of_development_or_of_secrets_is_in_it(app: Path) -> None:
    names = [str(path.relative_to(app)) for path in app.rglob("*")]
    assert not [name for name in names if re.search(r"(^|/)(local|tests?|\.env|\.git)($|/|\.py)", name)]
    placeholder = b"placeholder-of-the-build"
    holding = [path for path in app.rglob("*") if path.is_file() and placeholder in path.read_bytes()]
    assert {path.name.split(".")[0] for path in holding} == {"secrets"}  # the constant itself


def test_user_10001_may_read_everything_though_root_owns_it(app: Path) -> None:
    for path in app.rglob("*"):
        assert path.stat().st_mode & 0o004, path
        assert not path.is_dir() or path.stat().st_mode & 0o001, path
        assert not path.stat().st_mode & 0o002, path


def test_bytecode_is_compiled_and_valid_whatever_happens_to_file_times(app: Path) -> None:
    """PEP 552: flags 1, an unchecked hash."""
    (compiled,) = (app / "mysite/settings/__pycache__").glob("production.*.pyc")
    assert compiled.read_bytes()[4:8] == b"\1\0\0\0"


SETTINGS = """
import json, sys
import main
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
print(json.dumps({
    "url": staticfiles_storage.url("core/site.css"),
    "csp": settings.SECURE_CSP["default-src"],
    "hosts": settings.ALLOWED_HOSTS,
    "issuer": getattr(settings, "OIDC_CERTS_URL", None),
    "imported": sorted({"whitenoise", "storages", "google.cloud.storage"} & set(sys.modules)),
}))
"""


def test_with_a_bucket_pages_name_it_and_the_process_serves_no_files(app: Path) -> None:
    """The names come from the image's own manifest: an older revision's pages keep their own files."""
    told = container_image.python(
        app, SETTINGS, **container_image.CLOUD_RUN, **DEPLOYED, STATIC_BUCKET="p-static"
    )
    file = hashed(app).removeprefix("/static/")
    assert told["url"] == f"https://storage.googleapis.com/p-static/{file}"
    assert "https://storage.googleapis.com/p-static/" in told["csp"]  # type: ignore[operator]  # a list
    assert told["imported"] == []


def test_without_a_bucket_the_process_serves_them_on_cloud_run_only(app: Path) -> None:
    told = container_image.python(app, SETTINGS, **container_image.CLOUD_RUN, **DEPLOYED)
    assert (told["url"], told["imported"]) == (hashed(app), ["whitenoise"])
    elsewhere = container_image.python(app, SETTINGS, **DEPLOYED)
    assert (elsewhere["url"], elsewhere["imported"]) == (hashed(app), [])


def test_both_names_of_the_service_and_those_of_the_revisions_tag_are_hosts(app: Path) -> None:
    told = container_image.python(
        app,
        SETTINGS,
        **container_image.CLOUD_RUN,
        **DEPLOYED,
        ALLOWED_HOSTS="web-abc-ew.a.run.app,www.example.com",
        CLOUD_RUN_TAGS="v7",
    )
    assert told["hosts"] == [
        "web-abc-ew.a.run.app",
        "www.example.com",
        HOST,
        "v7---web-abc-ew.a.run.app",
        f"v7---{HOST}",
    ]


@pytest.mark.parametrize("here", ["K_SERVICE", "CLOUD_RUN_JOB"])
def test_without_a_project_it_does_not_start_and_says_so_in_one_sentence(app: Path, here: str) -> None:
    variables = {name: value for name, value in DEPLOYED.items() if name != "GOOGLE_CLOUD_PROJECT"}
    with pytest.raises(AssertionError, match="GOOGLE_CLOUD_PROJECT is empty: Cloud Run does not set it"):
        container_image.python(app, SETTINGS, **{here: "web"}, **variables)


def test_no_variable_makes_production_trust_another_issuer(app: Path) -> None:
    told = container_image.python(
        app,
        SETTINGS,
        **container_image.CLOUD_RUN,
        **DEPLOYED,
        OIDC_CERTS_URL="http://127.0.0.1:1/certs",
        LOCAL_RUNTIME="1",
    )
    assert told["issuer"] is None


def hashed(app: Path) -> str:
    """The address of a file under its hashed name."""
    manifest = json.loads((app / "static_root/staticfiles.json").read_text())
    return f"/static/{manifest['paths']['core/site.css']}"
