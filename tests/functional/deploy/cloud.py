"""Stand-ins for gcloud, terraform, cloud-sql-proxy, docker, make and .venv/bin/python.

One small script behind every name on PATH. It writes each call down, refuses a flag that it does not know
(FLAGS; gcloud's own parser sees the same calls afterwards), keeps the state of a project in a file, and fails
at the call whose number FAIL_AT names, before or, with FAIL_AFTER=1, after it did what it was asked.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PROJECT = "example"
REGION = "europe-west1"
OLD_FILES = {
    "queue.yaml": "queue:\n- name: default\n  rate: 1/s\n",
    "cron.yaml": "cron:\n- url: /_cron/old\n  schedule: every 5 mins\n",
}
NEW_FILES = {
    "queue.yaml": "queue:\n- name: default\n  rate: 2/s\n- name: added\n  rate: 3/s\n",
    "cron.yaml": "cron:\n- url: /_cron/new\n  schedule: every 1 mins\n",
    "index.yaml": "indexes:\n",
    "app.yaml": "runtime: python313\nentrypoint: x\nenv_variables:\n  DB_NAME: mine\n",
    ".gitignore": "/app.*.yaml\n.local/\n.venv\n__pycache__/\n",
    ".dockerignore": "*\n!main.py\n",
    "terraform/main.tf": "",
}
DEPLOYMENT = {
    "project": PROJECT,
    "region": REGION,
    "service_account": "web@example.iam.gserviceaccount.com",
    "tasks_service_account": "tasks@example.iam.gserviceaccount.com",
    "deploy_service_account": "deploy@example.iam.gserviceaccount.com",
    "vpc_connector": "projects/example/locations/europe-west1/connectors/main",
    "instance_connection_name": "example:europe-west1:main",
    "repository": "europe-west1-docker.pkg.dev/example/app",
    "environment": {"CLOUD_TASKS_LOCATION": REGION, "DB_NAME": "app"},
}

# The state of a project in one file; the script of `program` is run as each of the stand-ins.
SCRIPT = Path(__file__).with_name("stand_in.py")
NAMES = ("gcloud", "terraform", "cloud-sql-proxy", "docker", "make")


class Site(BaseHTTPRequestHandler):
    """What the new version answers, by the state of the project."""

    cloud: "Cloud"

    def do_GET(self) -> None:
        status, body = self.cloud.answer(self.path)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: Any) -> None:
        """Silence."""


class Cloud:
    """A project in Google's cloud, a clone of its repository, and the programs that a deployer has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clone, self.bin = folder, folder / "clone", folder / "bin"
        self.broken = ""  # a path that the site answers with 500
        self.make_clone()
        self.make_programs()

    def make_clone(self) -> None:
        self.clone.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        shutil.copytree(
            ROOT / "apps",
            self.clone / "apps",
            ignore=shutil.ignore_patterns("__pycache__", "templates", "static"),
        )
        self.old = self.commit({**NEW_FILES, **OLD_FILES})
        self.new = self.commit(NEW_FILES)

    def commit(self, files: dict[str, str]) -> str:
        """The first ten digits of a new commit with these files."""
        for name, text in files.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / name).write_text(text)
        self.git("add", "--all")
        self.git("-c", "user.name=T", "-c", "user.email=t@example.test", "commit", "--quiet", "--message=x")
        return self.git("rev-parse", "--short=10", "HEAD").strip()

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.clone, check=True, capture_output=True, text=True)
        return done.stdout

    def make_programs(self) -> None:
        """A tiny interpreter start (-S -E): some hundred calls a test."""
        self.bin.mkdir()
        for path in [*(self.bin / name for name in NAMES), self.clone / ".venv/bin/python"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{SCRIPT}" {path.name} "$@"\n')
            path.chmod(0o755)

    def reset(self, url: str, *, target: str = "appengine", first: bool = False) -> None:
        """One old version with all traffic, its queues and jobs; or nothing at all."""
        self.old_version = f"v20260101t000000-{self.old}"
        shutil.rmtree(self.clone / ".local", ignore_errors=True)
        (self.folder / "proxy").unlink(missing_ok=True)
        self.state = {
            "target": target,
            "url": url,
            "deployment": DEPLOYMENT,
            "versions": {} if first else {self.old_version: 1.0},
            "tags": {} if first else {self.old_version: self.old_version},
            "queues": {"default": {"state": "RUNNING"}},
            "files": {} if first else dict(OLD_FILES),
            "jobs": {} if first else {"cron-old": "ENABLED"},
            "indexes": "none",
            "tasks": [],
            "bucket": False,
        }
        self.broken = ""

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "state.json").read_text()))

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        (self.folder / "state.json").write_text(json.dumps(value))
        (self.folder / "calls").write_text("")

    @property
    def calls(self) -> list[list[str]]:
        """Every call of a stand-in, its name first."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    @property
    def traffic(self) -> dict[str, float]:
        return {name: share for name, share in self.state["versions"].items() if share}

    def answer(self, path: str) -> tuple[int, str]:
        """The new version, as the smoke step sees it."""
        if self.broken and path.startswith(self.broken):
            return 500, "broken"
        newest = max(self.state["versions"])
        pages = {
            "/health": json.dumps(
                {"version": newest if self.state["target"] == "appengine" else f"web-{newest}"}
            ),
            "/sign-in": '<link rel="stylesheet" href="/static/site.0123456789ab.css">',
        }
        return 200, pages.get(path, "{}")

    def environment(self, **variables: str) -> dict[str, str]:
        return {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "STAND_IN": str(self.folder),
            "REAL_PYTHON": sys.executable,
            "PROJECT": PROJECT,
            "REGION": REGION,
            "YES": "1",
            "SETTLE": "0",
            **variables,
        }

    def program(self, verb: str = "deploy", **variables: str) -> subprocess.CompletedProcess[str]:
        """The real program, run to its end."""
        return subprocess.run(
            [sys.executable, "-m", "apps.appengine.deploy", verb],
            cwd=self.clone,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


@contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """With a site that answers while the block lasts."""
    made = Cloud(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Site,), {"cloud": made}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        made.reset(f"http://127.0.0.1:{server.server_port}")
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
