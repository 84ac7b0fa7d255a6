import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host

from apps.appengine import hosts

INSTANCE = {
    "GAE_ENV": "standard",
    "GAE_SERVICE": "default",
    "GAE_VERSION": "v2",
    "GOOGLE_CLOUD_PROJECT": "my-project",
    "APPSPOT_DOMAIN": "my-project.ew.r.appspot.com",
}


@pytest.mark.parametrize(
    "host",
    [
        "my-project.ew.r.appspot.com",
        "my-project.appspot.com",
        "v2-dot-my-project.ew.r.appspot.com",
        "v2-dot-my-project.appspot.com",
        "default-dot-my-project.ew.r.appspot.com",
        "v2-dot-default-dot-my-project.ew.r.appspot.com",
        "v2.default.my-project.ew.r.appspot.com",
    ],
)
def test_each_address_of_this_version_is_trusted(host: str) -> None:
    assert validate_host(host, hosts.appspot(INSTANCE))


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "other.ew.r.appspot.com",
        "v2-dot-other.ew.r.appspot.com",
        "v1-dot-my-project.ew.r.appspot.com",  # another version, which does not run here
        "not-my-project.ew.r.appspot.com",
        "my-project.ew.r.appspot.com.example.com",
        "ew.r.appspot.com",
        "appspot.com",
    ],
)
def test_no_other_address_is_trusted(host: str) -> None:
    assert not validate_host(host, hosts.appspot(INSTANCE))


def test_an_old_application_has_the_short_domain_only() -> None:
    trusted = hosts.appspot(INSTANCE | {"APPSPOT_DOMAIN": "my-project.appspot.com"})
    assert validate_host("v2-dot-my-project.appspot.com", trusted)
    assert not validate_host("my-project.ew.r.appspot.com", trusted)


def test_nothing_is_trusted_off_app_engine_where_no_domain_is_named() -> None:
    assert hosts.appspot({"GOOGLE_CLOUD_PROJECT": "my-project", "K_SERVICE": "web"}) == []


def test_a_domain_without_a_project_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="APPSPOT_DOMAIN"):
        hosts.appspot({"APPSPOT_DOMAIN": ".ew.r.appspot.com"})
