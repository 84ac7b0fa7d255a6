"""What Terraform made, as far as a deployment needs it: its output `deployment`."""

import json
from dataclasses import dataclass
from typing import Any

from apps.appengine.deploy.shell import FailedError


@dataclass(frozen=True)
class Deployment:
    """`environment` is laid over the env_variables of app.yaml. `vpc_connector` may be empty."""

    project: str
    region: str
    service_account: str
    tasks_service_account: str
    deploy_service_account: str
    vpc_connector: str
    instance_connection_name: str
    repository: str
    environment: dict[str, str]

    @property
    def sql_instance(self) -> str:
        """The name of the Cloud SQL instance alone."""
        return self.instance_connection_name.rpartition(":")[2]


def parse(text: str, project: str) -> Deployment:
    """Raises FailedError naming the field, or the other project."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise FailedError(f"The deployment is no JSON ({error}): {text[:80]!r}") from error
    fields = Deployment.__dataclass_fields__
    if not isinstance(value, dict) or (missing := [name for name in fields if name not in value]):
        raise FailedError(
            f"The deployment lacks {', '.join(missing) if isinstance(value, dict) else 'everything'}: "
            "is terraform/ applied as it is in this commit?"
        )
    deployment = Deployment(**{name: checked(name, value[name]) for name in fields})
    if deployment.project != project:
        raise FailedError(f"The deployment is that of {deployment.project}, not of {project}.")
    if not deployment.region:
        raise FailedError("The deployment names no region.")
    return deployment


def checked(name: str, value: Any) -> Any:
    expected = dict if name == "environment" else str
    if not isinstance(value, expected):
        raise FailedError(f"The deployment's {name} is {value!r}.")
    return {key: str(one) for key, one in value.items()} if isinstance(value, dict) else value


def unknown(project: str) -> Deployment:
    """A dry run's: what the plan prints where only Terraform knows."""
    return Deployment(
        project=project,
        region="$REGION",
        service_account=f"web@{project}.iam.gserviceaccount.com",
        tasks_service_account=f"tasks@{project}.iam.gserviceaccount.com",
        deploy_service_account=f"deploy@{project}.iam.gserviceaccount.com",
        vpc_connector="",
        instance_connection_name=f"{project}:$REGION:main",
        repository=f"$REGION-docker.pkg.dev/{project}/app",
        environment={},
    )
