"""The hosts under which App Engine serves this very version.

https://cloud.google.com/appengine/docs/standard/how-requests-are-routed: the domain of the application
is PROJECT.REGION_ID.r.appspot.com (PROJECT.appspot.com works too, and is the only one of old
applications). The region's id is a short code that cannot be told from the region, so APPSPOT_DOMAIN
names the domain. Tasks and cron come by it too.
"""

import re
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

DOMAIN = r"{project}(\.[a-z]+\.r)?\.appspot\.com"


def appspot(environ: Mapping[str, str]) -> list[str]:
    """Entries of ALLOWED_HOSTS: all belong to this project, whose id no other project can have.

    None where APPSPOT_DOMAIN is not set. Raises ImproperlyConfigured where that is so on App Engine, or
    where it is no domain of this project.
    """
    project = environ.get("GOOGLE_CLOUD_PROJECT", "")
    domain = environ.get("APPSPOT_DOMAIN", "")
    if not domain and environ.get("GAE_ENV") != "standard":
        return []
    if not project or not re.fullmatch(DOMAIN.format(project=re.escape(project)), domain):
        raise ImproperlyConfigured(
            f"APPSPOT_DOMAIN is {domain!r}, no domain of the project {project!r}: write into app.yaml what "
            f'`gcloud app describe --project={project} --format="value(defaultHostname)"` prints.'
        )
    domains = dict.fromkeys([domain, f"{project}.appspot.com"])
    return [
        host for one in domains for host in (f".{one}", *(f"{name}-dot-{one}" for name in names(environ)))
    ]


def names(environ: Mapping[str, str]) -> list[str]:
    """What stands before `-dot-`: this version, this service, or both."""
    version, service = environ.get("GAE_VERSION", ""), environ.get("GAE_SERVICE", "")
    both = f"{version}-dot-{service}" if version and service else ""
    return [name for name in (version, service, both) if name]
