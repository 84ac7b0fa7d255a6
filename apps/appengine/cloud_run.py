"""What production settings must be told on Cloud Run, since Cloud Run itself does not say it.

https://cloud.google.com/run/docs/container-contract: a service has K_SERVICE and K_REVISION, a job has
CLOUD_RUN_JOB; neither has GOOGLE_CLOUD_PROJECT.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

RUN_DOMAIN = ".run.app"


def is_here(environ: Mapping[str, str]) -> bool:
    """Whether this process runs on Cloud Run, as a service or as a job."""
    return bool(environ.get("K_SERVICE") or environ.get("CLOUD_RUN_JOB"))


def require_project(environ: Mapping[str, str]) -> None:
    """Raises ImproperlyConfigured on Cloud Run without GOOGLE_CLOUD_PROJECT."""
    if is_here(environ) and not environ.get("GOOGLE_CLOUD_PROJECT"):
        raise ImproperlyConfigured(
            "GOOGLE_CLOUD_PROJECT is empty: Cloud Run does not set it, so name the project among the "
            "variables of the service or job (--update-env-vars)."
        )


def hosts(named: Iterable[str], tasks_url: str, tags: Iterable[str]) -> list[str]:
    """The hosts that a service answers to: those named, that of TASKS_URL, and both under each tag.

    A service has two names under run.app, SERVICE-NUMBER.REGION.run.app and SERVICE-HASH-REGION.a.run.app,
    and with a tag TAG---SERVICE-... of either (https://cloud.google.com/run/docs/triggering/https-request).
    Nothing is guessed: a host that no variable names is refused.
    """
    plain = list(dict.fromkeys([*named, *filter(None, [urlsplit(tasks_url).hostname])]))
    tagged = [
        f"{tag}---{host}"
        for tag in tags
        for host in plain
        if host.endswith(RUN_DOMAIN) and not host.startswith(".") and "---" not in host
    ]
    return [*plain, *tagged]
