"""What Cloud Run's settings are made of."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.appengine import cloud_run


@pytest.mark.parametrize("here", ["K_SERVICE", "CLOUD_RUN_JOB"])
def test_on_cloud_run_the_project_must_be_named(here: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="GOOGLE_CLOUD_PROJECT is empty"):
        cloud_run.require_project({here: "web"})
    cloud_run.require_project({here: "web", "GOOGLE_CLOUD_PROJECT": "p"})
    cloud_run.require_project({})


def test_nothing_named_is_no_host() -> None:
    assert cloud_run.hosts([], "", []) == []
    assert cloud_run.hosts([], "", ["v1"]) == []
    assert cloud_run.hosts([], "no url", ["v1"]) == []


def test_a_host_named_twice_is_one_host() -> None:
    assert cloud_run.hosts(["web-1.r.run.app"], "https://web-1.r.run.app/", []) == ["web-1.r.run.app"]


def test_a_tag_is_only_for_hosts_that_can_have_one() -> None:
    named = ["www.example.com", ".example.com", "v1---web-1.r.run.app", "web-1.r.run.app"]
    assert cloud_run.hosts(named, "", ["v2"]) == [*named, "v2---web-1.r.run.app"]
