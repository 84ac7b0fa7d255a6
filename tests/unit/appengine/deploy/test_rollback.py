import pytest

from apps.appengine.deploy.rollback import chosen

OLD, FAILED, SERVING = (
    "v20260101t000000-0000000000",
    "d20260201t000000-0000000000",
    "v20260301t000000-0000000000",
)
NEWER = "v20260401t000000-0000000000"
SHARES = {OLD: 0.0, FAILED: 0.0, SERVING: 1.0, NEWER: 0.0, "somebodys": 0.0}


@pytest.mark.parametrize(
    ("shares", "wanted", "expected"),
    [
        (SHARES, "", FAILED),
        ({OLD: 0.0, SERVING: 1.0, NEWER: 0.0}, "", OLD),
        ({SERVING: 1.0, NEWER: 0.0, "somebodys": 0.0}, "", ""),
        (SHARES, "somebodys", "somebodys"),
        (SHARES, "missing", ""),
    ],
)
def test_the_newest_that_is_older_unless_one_is_named(
    shares: dict[str, float], wanted: str, expected: str
) -> None:
    assert chosen(shares, SERVING, wanted) == expected
