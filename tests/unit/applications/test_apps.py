from typing import Any

from django.core import checks


def found() -> list[str]:
    """What a deploy is told about this app."""
    messages = checks.run_checks(tags=["security"], include_deployment_checks=True)
    return [message.msg for message in messages if message.id == "applications.E001"]


def test_a_deploy_with_private_endpoints_allowed_is_refused(settings: Any) -> None:
    settings.WAYBILL_ALLOW_PRIVATE_ENDPOINTS = True
    [text] = found()
    assert "WAYBILL_ALLOW_PRIVATE_ENDPOINTS is on" in text
    assert "Remove it from the environment" in text

    settings.WAYBILL_ALLOW_PRIVATE_ENDPOINTS = False
    assert found() == []
