"""app.yaml with what Terraform knows, for either target, as YAML on standard output.

    python -m apps.appengine.deploy.rendered appengine DEPLOYMENT.json
    python -m apps.appengine.deploy.rendered cloudrun DEPLOYMENT.json --url https://web-1.REGION.run.app

app.yaml stays what `gcloud app deploy` alone would deploy; values of the deployment win over its own.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from apps.appengine.deploy.deployment import Deployment, parse


def app_engine(app: dict[str, Any], deployment: Deployment) -> dict[str, Any]:
    """The service as App Engine gets it."""
    environment = app.get("env_variables", {}) | deployment.environment
    rendered = app | {"service_account": deployment.service_account, "env_variables": environment}
    if deployment.vpc_connector:
        rendered["vpc_access_connector"] = {"name": deployment.vpc_connector}
    return rendered


def cloud_run(app: dict[str, Any], deployment: Deployment, url: str, tag: str) -> dict[str, str]:
    """The environment of the container: the same variables, and what Cloud Run does not say itself."""
    environment = {name: str(value) for name, value in app.get("env_variables", {}).items()}
    environment.pop("APPSPOT_DOMAIN", None)
    return (
        environment
        | {
            "GOOGLE_CLOUD_PROJECT": deployment.project,
            "TASKS_TARGET": "http",
            "TASKS_URL": url,
            "TASKS_AUDIENCE": url,
            "TASKS_SERVICE_ACCOUNT": deployment.tasks_service_account,
            "CLOUD_RUN_TAGS": tag,
        }
        | deployment.environment
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=("appengine", "cloudrun"))
    parser.add_argument("deployment", type=Path)
    parser.add_argument("--url", default="", help="Cloud Run: where the service answers")
    parser.add_argument("--tag", default="", help="Cloud Run: the tag of a revision without traffic")
    arguments = parser.parse_args()
    app = yaml.safe_load(Path("app.yaml").read_text())
    text = arguments.deployment.read_text()
    deployment = parse(text, yaml.safe_load(text)["project"])
    if arguments.target == "appengine":
        rendered = app_engine(app, deployment)
    else:
        rendered = cloud_run(app, deployment, arguments.url, arguments.tag)
    yaml.safe_dump(rendered, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
