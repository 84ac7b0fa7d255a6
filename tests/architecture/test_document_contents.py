"""The documents are complete: what was asked for, what works, what changed, why."""

import re

import svix.api

from apps.api.urls import VIEWS
from apps.appengine.deploy.options import VARIABLES
from tests.architecture.repository import ROOT

ASKED = {
    *("django", "djangorestframework", "google-cloud-ndb", "google-cloud-tasks", "django-storages"),
    *("google-cloud-secret-manager", "django-redis", "gunicorn", "pytest-django", "webtest"),
    *("`app.yaml`", "`cron.yaml`", "`queue.yaml`", "`main.py`", "`mysite`", "`apps`", "`requirements.txt`"),
    *("`tests`", "`.gcloudignore`", "`README.md`"),
    *("Cloud SQL", "Memorystore", "Cloud Storage", "Cloud Run", "Cloud Build", "Artifact Registry"),
    *("Terraform", "Logging", "Monitoring", "Error Reporting", "IAM", "HTTPS only"),
    *("apps: accounts", "apps: core", "apps: api"),
}


def tables(text: str) -> list[list[str]]:
    """The cells of each row of each table."""
    rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_guide_map_has_every_line_of_what_was_asked() -> None:
    rows = {row[0]: row[1:] for row in tables((ROOT / "docs/guide-map.md").read_text())}
    assert not ASKED - set(rows)
    for name in ASKED:
        where, proof = rows[name]
        assert proof or "later issue" in where, name


def test_the_readme_names_exactly_the_operations_that_work() -> None:
    text = (ROOT / "README.md").read_text().partition("## What works with the SDK")[2]
    rows = [row for row in tables(text.partition("\n## ")[0]) if row[0].startswith("`")]
    operations = {(row[0].strip("`"), name) for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    client = svix.api.Svix("sk_any", svix.api.SvixOptions(server_url="http://localhost"))
    assert not [one for one in operations if not hasattr(getattr(client, one[0]), one[1])]
    methods = ("get", "post", "put", "patch", "delete")
    # The SDK asks one of two addresses of the same view.
    others = {
        "api/v1/health/ping",
        "api/v1/auth/dashboard-access/{app_id}",
        "api/v1/app/{app_id}/msg/{msg_id}/attempt",
        "api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt",
    }
    working = [path for path, view in VIEWS.items() for method in methods if hasattr(view, method)]
    assert len(operations) == len([path for path in working if path not in others])


def test_the_readme_names_the_version_of_the_sdk_that_is_tested() -> None:
    version = re.search(r'"svix==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert version
    assert f"`svix` {version[1]}" in (ROOT / "README.md").read_text()


def test_the_changelog_begins_with_the_version_that_is_being_made() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    sections = re.findall(
        r"^## (\S+).*?$(.*?)(?=^## |\Z)", (ROOT / "CHANGELOG.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert version
    assert sections[0][0] == version[1]
    assert re.search(r"^- \w", sections[0][1], re.MULTILINE)


def test_every_decision_is_listed_and_has_its_four_parts() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs/decisions/README.md").read_text()
    for page in pages:
        title = page.read_text().partition("\n")[0].removeprefix("# ").partition(": ")[2]
        assert f"[{page.name[:4]}]({page.name})" in index, page.name
        assert title, page.name
        missing = [
            part
            for part in ("Context", "Decision", "Weighed", "Follows")
            if f"**{part}.**" not in page.read_text()
        ]
        assert not missing, page.name


def test_every_check_is_explained() -> None:
    code = "".join(path.read_text() for path in (ROOT / "apps").rglob("*.py"))
    ids = re.findall(r'id="(\w+\.[EW]\d{3})"|"(appengine\.E\d{3})"', code)
    rows = [row[0] for row in tables((ROOT / "docs/checks.md").read_text()) if row[0] != "id"]
    assert len(rows) == len(set(rows))
    assert set(rows) == {one or other for one, other in ids}


def test_every_variable_of_the_settings_is_in_the_example_or_in_operations() -> None:
    settings = "".join(path.read_text() for path in (ROOT / "mysite/settings").glob("*.py"))
    read = set(re.findall(r'\benv(?:\.\w+)?\(\s*"([A-Z_]+)"', settings))
    told = (ROOT / ".env.example").read_text() + (ROOT / "docs/operations.md").read_text()
    assert not {name for name in read if name not in told}


def test_the_page_about_deploying_has_every_variable_and_what_it_does() -> None:
    text = (ROOT / "docs/deploy.md").read_text().partition("## Variables")[2]
    rows = {row[0].strip("`"): row[1] for row in tables(text)[1:]}
    assert rows == VARIABLES
