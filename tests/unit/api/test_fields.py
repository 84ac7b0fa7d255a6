"""Fields take what they say, and nothing that could be made into it."""

import pytest

from tests.unit.api.conftest import Api


@pytest.mark.parametrize("value", [0, 1, "true", "yes", "", [], {}])
def test_a_boolean_is_true_or_false(api: Api, value: object) -> None:
    body = {"name": "invoice.paid", "description": "", "archived": value}
    (item,) = api.post("/api/v1/event-type", body, 422).json["detail"]
    assert item["loc"] == ["body", "archived"]


@pytest.mark.parametrize("value", ["5", 5.0, 5.5, True, [], {}])
def test_a_number_is_whole_and_no_string(api: Api, value: object) -> None:
    (item,) = api.post("/api/v1/app", {"name": "A", "throttleRate": value}, 422).json["detail"]
    assert item["loc"] == ["body", "throttleRate"]
