"""What a deployment renders for each target passes the project's own checks, run for real."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEPLOYMENT = {
    "project": "shop",
    "region": "europe-west1",
    "service_account": "web@shop.iam.gserviceaccount.com",
    "tasks_service_account": "tasks@shop.iam.gserviceaccount.com",
    "deploy_service_account": "deploy@shop.iam.gserviceaccount.com",
    "vpc_connector": "",
    "instance_connection_name": "shop:europe-west1:main",
    "repository": "europe-west1-docker.pkg.dev/shop/app",
    "environment": {
        "CLOUD_TASKS_LOCATION": "europe-west1",
        "INSTANCE_CONNECTION_NAME": "shop:europe-west1:main",
        "DB_NAME": "app",
        "DB_MAX_CONNECTIONS": "100",
        "MEDIA_BUCKET": "shop-media",
    },
}
APP_ENGINE = {"APPSPOT_DOMAIN": "shop.ew.r.appspot.com"}
TARGETS = {
    "appengine": (APP_ENGINE, [], ["APP_YAML=app.shop.yaml"]),
    "cloudrun": ({}, ["--url=https://web-1.europe-west1.run.app", "--tag=candidate"], []),
}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_rendered_for_a_target_passes_the_checks(target: str, tmp_path: Path) -> None:
    known, options, variables = TARGETS[target]
    file, rendered = tmp_path / "deployment.json", tmp_path / "app.shop.yaml"
    file.write_text(json.dumps(DEPLOYMENT | {"environment": DEPLOYMENT["environment"] | known}))
    done = run("apps.appengine.deploy.rendered", target, str(file), *options)
    assert done.returncode == 0, done.stderr
    rendered.write_text(done.stdout)

    variables = [text.replace("app.shop.yaml", str(rendered)) for text in variables]
    check = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    given = ["GOOGLE_CLOUD_PROJECT=shop", "BUILD_MODE=1", *variables]
    done = run("apps.appengine.deploy.with_environment", str(rendered), *given, *check)
    assert done.returncode == 0, done.stderr
