"""The site as App Engine runs it: app.yaml's entrypoint and variables on mysite.settings.production.

Beside it, as real as a machine without an account has them: PostgreSQL behind the socket of Cloud SQL,
Redis, a Cloud Storage emulator, the embedded Datastore, the local queue server, a Secret Manager that
speaks its gRPC protocol, and a metadata server. What App Engine's front end would add to a request, the
host and X-Forwarded-Proto, `ask` adds.
"""

import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import requests
import yaml
from psycopg import sql

from apps.appengine.local.preflight import free_port
from tests import datastores, google_identity, secret_manager, with_services
from tests.google_identity import ServiceAccount
from tests.secret_manager import SecretManager

ROOT = Path(__file__).resolve().parents[2]
APP_YAML = yaml.safe_load((ROOT / "app.yaml").read_text())
VARIABLES: dict[str, str] = APP_YAML["env_variables"]
PROJECT = "my-project"  # the one that app.yaml names until somebody writes theirs
HOST = VARIABLES["APPSPOT_DOMAIN"]
BUCKETS = {"MEDIA_BUCKET": f"{PROJECT}-media", "PAYLOADS_BUCKET": f"{PROJECT}-payloads"}
GOOGLE = "cloudsqladmin"  # the superuser that Cloud SQL keeps for itself
START_S = 120.0
SECRETS = {
    "django-secret-key:1": b"the first key of Django, which is as long as one must be",
    "django-secret-key:2": b"$ and a comma, in the second key of Django, are no more than text",
    "field-encryption-keys:1": b"a:" + b"A" * 43 + b"=",
    "field-encryption-keys:2": b"a:" + b"A" * 43 + b"=,b:" + b"B" * 42 + b"E=",
    "field-encryption-keys:3": b"b:" + b"B" * 42 + b"E=,a:" + b"A" * 43 + b"=",
    "field-encryption-keys:4": b"b:" + b"B" * 42 + b"E=\n",
    "db-password:1": with_services.DB_PASSWORD.encode(),
    "db-password:2": b"$the second",
}
# What only stand-ins need, and what keeps the client libraries from looking for the cloud.
LOCAL = {"PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8", "TRACE_EXPORT": ""}


@dataclass
class Answer:
    """A response, its body as text."""

    status: int
    headers: http.client.HTTPMessage
    body: str

    @property
    def cookies(self) -> dict[str, Any]:
        """The cookies it sets, by name."""
        kept: SimpleCookie = SimpleCookie()
        for line in self.headers.get_all("set-cookie") or []:
            kept.load(line)
        return dict(kept)


class Production:
    """One deployment. `start` it with variables laid over app.yaml's, stop it, start it again."""

    def __init__(
        self,
        environment: dict[str, str],
        secrets: SecretManager,
        account: ServiceAccount,
        identity: dict[str, str],
    ) -> None:
        self.environment = environment
        self.secrets = secrets
        self.account = account
        self.identity = identity  # the variables that let a process act as the account
        self.redis = ExitStack()
        self.api_key = ""
        self.port = int(environment["PORT"])
        self.log = Path(environment["HOME"], "web.log")

    def start(self, **variables: str) -> None:
        """Start the entrypoint and wait until it is alive. Raises AssertionError with its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", f"exec {APP_YAML['entrypoint']}"],
                cwd=ROOT,
                env=self.environment | variables,
                stdout=log,
                stderr=log,
            )
        ends = time.monotonic() + START_S
        while not self.is_alive():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < ends, self.log.read_text()[-4000:]
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)

    def restart(self, **variables: str) -> None:
        self.stop()
        self.start(**variables)

    def is_alive(self) -> bool:
        try:
            return self.ask("/healthz").status == 200
        except OSError:
            return False

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        scheme: str = "https",
        method: str = "",
    ) -> Answer:
        """One request, as App Engine's front end passes it on. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {"Host": HOST, "X-Forwarded-Proto": scheme} | (headers or {})
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, given)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def manage(self, *arguments: str, **variables: str) -> str:
        """What a management command prints, run with the site's own environment. Raises AssertionError."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout.strip()

    def server_python(self, code: str) -> str:
        """What a piece of Python prints where gunicorn has imported main."""
        command = [sys.executable, "-c", f"import main; {code}"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def python(self, code: str, **variables: str) -> str:
        """What a piece of Python prints in the site's shell."""
        return self.manage("shell", "--verbosity", "0", "--command", code, **variables)

    def objects(self, bucket: str) -> list[str]:
        """The names of the objects in a bucket."""
        url = f"{self.environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/{bucket}/o"
        return [item["name"] for item in requests.get(url, timeout=30).json().get("items", [])]

    @contextmanager
    def without_redis(self) -> Iterator[None]:
        """Redis is gone; afterwards it is back, empty."""
        self.stop_redis()
        try:
            yield
        finally:
            self.start_redis()

    def start_redis(self) -> None:
        self.redis = ExitStack()
        self.redis.enter_context(with_services.redis(int(self.environment["REDIS_PORT"])))

    def stop_redis(self) -> None:
        self.redis.close()


class Browser:
    """Somebody with cookies, who is as careful with them as browsers are."""

    def __init__(self, production: Production) -> None:
        self.production = production
        self.cookies: dict[str, str] = {}

    def open(self, path: str, form: dict[str, str] | None = None) -> Answer:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        body = None
        if form is not None:
            body = urlencode(form).encode()
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{HOST}"}
        answer = self.production.ask(path, body, headers)
        for name, morsel in answer.cookies.items():
            assert not name.startswith("__Host-") or (morsel["secure"] and morsel["path"] == "/")
            self.cookies[name] = morsel.value
            if not morsel.value:
                del self.cookies[name]
        return answer

    def form_token(self, path: str) -> str:
        """What `csrf_token` put into the page's form."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.open(path).body)
        assert found, self.production.log.read_text()[-4000:]
        return found[1]

    def sign_in(self) -> Answer:
        token = self.form_token("/sign-in")
        return self.open("/sign-in", {"username": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": token})

    def sign_out(self) -> None:
        answer = self.open("/sign-out", {"csrfmiddlewaretoken": self.cookies["__Host-csrftoken"]})
        assert answer.status == 302, answer.body

    def is_signed_in(self) -> bool:
        """Whether the sign-in page sends them on. Raises AssertionError where it does neither."""
        status = self.open("/sign-in").status
        assert status in (200, 302)
        return status == 302


EMAIL, PASSWORD = "owner@example.com", "correct horse battery"
FIRST_ROWS = f"""
from apps.accounts.models import ApiKey, Membership, Organization, User
user = User.objects.create_user({EMAIL!r}, {PASSWORD!r})
organization = Organization.objects.create(name="Acme")
Membership.objects.create(user=user, organization=organization, role="owner")
print(ApiKey.issue(organization, "test")[1])
"""


@contextmanager
def deployed(**variables: str) -> Iterator[Production]:
    """A migrated deployment with one user, whose `api_key` is theirs. Raises ServiceMissing."""
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="gae-") as folder:
        production = prepared(Path(folder), stack, variables)
        production.start_redis()
        stack.callback(production.stop_redis)
        production.manage("collectstatic", "--no-input", BUILD_MODE="1", GAE_ENV="")  # as the build does
        production.manage("migrate", "--no-input")
        production.api_key = production.python(FIRST_ROWS)
        production.start()
        stack.callback(production.stop)
        yield production


def prepared(folder: Path, stack: ExitStack, variables: dict[str, str]) -> Production:
    """Everything but the site and Redis runs, until the stack is closed. Raises ServiceMissing."""
    with_services.find("redis")
    account = ServiceAccount(f"web@{PROJECT}.iam.gserviceaccount.com", PROJECT)
    secrets = SecretManager()
    secrets.values = dict(SECRETS)
    port, tasks = free_port(), f"127.0.0.1:{free_port()}"
    environment = {
        **VARIABLES,
        **BUCKETS,
        **LOCAL,
        **variables,
        # What App Engine sets.
        "GAE_ENV": "standard",
        "GAE_SERVICE": "default",
        "GAE_VERSION": "v2",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PORT": str(port),
        # Where the stand-ins are. The queue server names its target as its host.
        "ALLOWED_HOSTS": "127.0.0.1",
        "CLOUD_TASKS_EMULATOR_HOST": tasks,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(free_port()),
        "SECRET_MANAGER_EMULATOR_HOST": stack.enter_context(secret_manager.serving(secrets)),
        **cloud_sql(folder, stack.enter_context(with_services.postgresql(GOOGLE))),
    }
    datastore = stack.enter_context(datastores.running(datastores.EMBEDDED, ROOT / "index.yaml"))
    environment["DATASTORE_EMULATOR_HOST"] = datastore.host
    environment["STORAGE_EMULATOR_HOST"] = stack.enter_context(cloud_storage(list(BUCKETS.values())))
    identity = stack.enter_context(google_identity.serving(account, folder))
    stack.enter_context(queue_server(folder, tasks, port))
    return Production(environment, secrets, account, identity)


def cloud_sql(folder: Path, started: dict[str, str]) -> dict[str, str]:
    """The socket where Cloud SQL's would be, and the users and the database that it would have.

    https://cloud.google.com/sql/docs/postgres/users: nobody but Google is a superuser.
    """
    instance = folder / "cloudsql" / VARIABLES["INSTANCE_CONNECTION_NAME"]
    instance.parent.mkdir()
    instance.symlink_to(started["DB_SOCKETS"])
    with google(started["DB_PORT"], "postgres") as cursor:
        cursor.execute("CREATE ROLE cloudsqlsuperuser CREATEROLE CREATEDB NOLOGIN")
        for user in ("postgres", VARIABLES["DB_USER"]):
            create_user(cursor, user, with_services.DB_PASSWORD)
        name = sql.Identifier(VARIABLES["DB_NAME"])
        cursor.execute(sql.SQL("CREATE DATABASE {} OWNER cloudsqlsuperuser").format(name))
    return {"CLOUD_SQL_SOCKETS": str(instance.parent), "DB_PORT": started["DB_PORT"]}


@contextmanager
def google(port: str, database: str) -> Iterator[psycopg.Cursor]:
    """What Google itself may do in Cloud SQL: make users, and look at everything."""
    place = {"host": "127.0.0.1", "port": port, "user": GOOGLE, "dbname": database}
    with psycopg.connect(**place, autocommit=True) as connection:
        yield connection.cursor()


def create_user(cursor: psycopg.Cursor, name: str, password: str) -> None:
    """`gcloud sql users create`."""
    role = "CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {} IN ROLE cloudsqlsuperuser"
    cursor.execute(sql.SQL(role).format(sql.Identifier(name), sql.Literal(password)))


@contextmanager
def cloud_storage(buckets: list[str]) -> Iterator[str]:
    """The emulator in a process of its own, with these buckets: its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    options = ["--host", "127.0.0.1", "--port", str(port), "--in-memory", "--quiet"]
    with with_services.running([sys.executable, "-m", "gcp_storage_emulator", "start", *options], port):
        for bucket in buckets:
            requests.post(f"{address}/storage/v1/b", json={"name": bucket}, timeout=30).raise_for_status()
        yield address


@contextmanager
def queue_server(folder: Path, address: str, app_port: int) -> Iterator[None]:
    options = {
        "--queue-yaml": str(ROOT / "queue.yaml"),
        "--data": str(folder / "queues.sqlite3"),
        "--grpc": address,
        "--app": f"http://127.0.0.1:{app_port}",
    }
    command = [part for option in options.items() for part in option]
    port = int(address.rpartition(":")[2])
    with with_services.running([sys.executable, "-m", "apps.appengine.local.queue_server", *command], port):
        yield
