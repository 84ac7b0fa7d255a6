"""Secrets, read once at startup from Secret Manager into the environment, before settings are read.

    SECRETS = "DJANGO_SECRET_KEY=django-secret-key:3,DB_PASSWORD=db-password:1"

names variables and, for each, a secret and its pinned version. Everything is read at once and within
one deadline; whatever is missing stops the start, and no message ever holds a value. Values are taken
as they are stored, down to a trailing newline.

A variable named in SECRETS that the environment already sets to something else is refused: with two
sources for one secret, a rotation of one would change nothing and say nothing. Equal values are fine:
child processes inherit what their parent loaded.
"""

import re
from collections.abc import Mapping, MutableMapping

from django.core.exceptions import ImproperlyConfigured

DEADLINE = 10.0  # seconds, over everything
# No secret, but of a form that passes for a key of Django's or a "keyid:base64 of 32 bytes" while static
# files are collected and settings are checked.
PLACEHOLDER = "placeholder-of-the-build-never-a-secret:" + "0" * 43 + "="
ENTRY = re.compile(
    r"(?P<variable>[A-Za-z_][A-Za-z0-9_]*)=(?P<name>[A-Za-z0-9_-]{1,255}):(?P<version>latest|[1-9][0-9]*)"
)


class SecretsUnavailable(Exception):
    """Secrets could not be read. The message says which ones, of which project, and why."""


def load(environ: MutableMapping[str, str], deadline: float = DEADLINE) -> None:
    """Fill the variables that SECRETS names; without SECRETS do nothing.

    With BUILD_MODE=1 (collectstatic in a build) each gets a placeholder and nothing is called.

    Raises ImproperlyConfigured for a malformed SECRETS, a variable with two values, or BUILD_MODE on a
    server; SecretsUnavailable when a secret cannot be read within `deadline` seconds.
    """
    if is_build(environ):
        fill_placeholders(environ)
        return
    if not (paths := parse(environ.get("SECRETS", ""), environ.get("GOOGLE_CLOUD_PROJECT", ""))):
        return
    # Late: its client takes half a second to import, and a site without SECRETS needs none.
    from apps.appengine import secret_manager  # noqa: PLC0415

    values = secret_manager.read(paths.values(), environ.get("SECRET_MANAGER_EMULATOR_HOST", ""), deadline)
    for variable, path in paths.items():
        if environ.get(variable, values[path]) != values[path]:
            raise ImproperlyConfigured(
                f"{variable} is set in the environment to another value than {path} holds. Remove one."
            )
    environ.update({variable: values[path] for variable, path in paths.items()})


def is_build(environ: Mapping[str, str]) -> bool:
    """Whether this process only builds: it has placeholders for secrets."""
    return environ.get("BUILD_MODE") == "1"


def fill_placeholders(environ: MutableMapping[str, str]) -> None:
    """Give DJANGO_SECRET_KEY, and what SECRETS names, a placeholder where the environment has nothing."""
    if environ.get("GAE_ENV") or environ.get("K_SERVICE"):
        raise ImproperlyConfigured(
            "BUILD_MODE=1 is for builds: a server would run with placeholders for secrets."
        )
    for variable in ["DJANGO_SECRET_KEY", *parse(environ.get("SECRETS", ""), project="build")]:
        environ[variable] = environ.get(variable) or PLACEHOLDER


def parse(text: str, project: str) -> dict[str, str]:
    """Each variable of SECRETS with the resource name of the version that fills it.

    Raises ImproperlyConfigured, by position: a malformed entry may be a value pasted by mistake.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if entries and not project:
        raise ImproperlyConfigured("SECRETS is set and GOOGLE_CLOUD_PROJECT is not: whose secrets?")
    return dict(parse_entry(entry, number, project) for number, entry in enumerate(entries, start=1))


def parse_entry(entry: str, number: int, project: str) -> tuple[str, str]:
    """The variable and the resource name of one `VARIABLE=secret-name:version`."""
    match = ENTRY.fullmatch(entry)
    if match is None:
        raise ImproperlyConfigured(
            f"SECRETS: entry {number} is not of the form VARIABLE=secret-name:version."
        )
    if match["version"] == "latest":
        raise ImproperlyConfigured(
            f"SECRETS asks for the latest {match['name']}. Pin a number: the same deploy then means the same "
            "tomorrow, and a rotation is a deploy that can be rolled back."
        )
    return match["variable"], f"projects/{project}/secrets/{match['name']}/versions/{match['version']}"
