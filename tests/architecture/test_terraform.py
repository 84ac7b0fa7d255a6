"""terraform/ as text: it parses, says what is what, and agrees with the rest of the repository.

What Terraform itself says of it: tests/functional/test_terraform.py. What checkov says: tests/policy.py.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from tests.architecture import repository

ROOT = repository.ROOT
FILES = sorted((ROOT / "terraform").rglob("*.tf"))
TEXTS = {path.name: path.read_text() for path in FILES}
ALL = "\n".join(TEXTS.values())
PARSED = {path.name: hcl2.loads(path.read_text()) for path in FILES}
README = (ROOT / "terraform/README.md").read_text()


def plain(value: Any) -> Any:
    """A text without the quotes that the parser leaves on."""
    return value.strip('"') if isinstance(value, str) else value


def blocks(kind: str) -> dict[str, dict[str, Any]]:
    """The blocks of a kind by their labels, joined with a dot."""
    return {
        name: body
        for parsed in PARSED.values()
        for block in parsed.get(kind, [])
        for name, body in labelled(block)
    }


def labelled(block: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A block's labels and its body, which the parser marks."""
    for label, inner in block.items():
        if inner.get("__is_block__"):
            yield plain(label), inner
        else:
            yield from ((f"{plain(label)}.{name}", body) for name, body in labelled(inner))


VARIABLES, OUTPUTS = blocks("variable"), blocks("output")
LOCALS = [
    name
    for parsed in PARSED.values()
    for block in parsed.get("locals", [])
    for name in block
    if not name.startswith("__")  # what the parser adds
]


def without_comments(text: str) -> str:
    return re.sub(r"^\s*#.*$|\s#.*$", "", text, flags=re.MULTILINE)


def test_there_is_something_to_look_at() -> None:
    assert len(FILES) > 15
    assert len(VARIABLES) > 15
    assert len(blocks("resource")) > 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_short_and_about_one_subject(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 300


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_has_a_type_a_description_and_a_place_where_it_counts(name: str) -> None:
    variable = VARIABLES[name]
    assert variable["type"]
    assert re.fullmatch(r"[A-Z].{15,}\.", plain(variable["description"]))
    assert len(re.findall(rf"\bvar\.{name}\b", without_comments(ALL))) > len(
        re.findall(rf"\bvar\.{name}\b", str(variable.get("validation", "")))
    )


def test_every_variable_that_can_be_wrong_says_what_is_right() -> None:
    """A switch is on or off; anything else has a validation, but for names that only Google knows."""
    unchecked = {name for name, one in VARIABLES.items() if one["type"] != "bool" and "validation" not in one}
    assert unchecked <= {"datastore_location", "runbooks"}
    for name, one in VARIABLES.items():
        for validation in one.get("validation", []):
            assert re.match(rf"{name} |Each of {name} ", plain(validation["error_message"]))


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_has_a_description(name: str) -> None:
    assert re.fullmatch(r"[A-Z].{15,}\.", plain(OUTPUTS[name]["description"]))


def test_what_is_referred_to_is_declared_and_what_is_declared_is_referred_to() -> None:
    code = without_comments(ALL)
    assert set(re.findall(r"\bvar\.(\w+)", code)) == set(VARIABLES)
    assert set(re.findall(r"\blocal\.(\w+)", code)) == set(LOCALS)
    resources = set(blocks("resource"))
    assert set(re.findall(r"(?<![\w./\"])((?:google|terraform)_\w+\.\w+)", code)) <= resources
    assert {f"data.{name}" for name in blocks("data")} == set(re.findall(r"data\.google_\w+\.\w+", code))


def test_the_readme_has_each_variable_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", README, re.MULTILINE))
    expected = {
        name: "required" if "default" not in one else f"`{shown(one['default'])}`"
        for name, one in VARIABLES.items()
    }
    assert rows == expected


def shown(default: Any) -> str:
    """As it is written in a file of variables."""
    return str(default).lower() if isinstance(default, bool) else str(default)


# IAM


def role_lines() -> list[tuple[str, str]]:
    """File and line of each role that is granted."""
    return [
        (name, line)
        for name, text in TEXTS.items()
        for line in text.splitlines()
        if re.search(r'^\s*(role\s*=|"roles/)', line) and "each.key" not in line
    ]


def test_every_role_has_its_reason_beside_it() -> None:
    lines = role_lines()
    assert len(lines) > 25
    assert not [line for line in lines if not re.search(r'"?,? *# \S.{8,}', line[1])]
    assert not [
        (name, line)
        for name, text in TEXTS.items()
        for line in text.splitlines()
        if '"roles/' in line and (name, line) not in lines
    ]


def test_no_role_is_one_that_can_do_nearly_everything() -> None:
    granted = set(re.findall(r'"roles/(\S+)"', ALL))
    assert "datastore.user" in granted
    broad = {role for role in granted if re.fullmatch(r"owner|editor|viewer|[a-z]+\.admin", role)}
    assert broad == {"cloudscheduler.admin"}  # no smaller one can write cron.yaml


def test_the_account_whose_token_is_sent_has_no_role_and_nobody_has_a_key() -> None:
    assert "google_service_account.tasks.member" not in ALL
    assert "google_service_account_key" not in ALL


def test_only_static_files_are_public() -> None:
    public = [name for name, one in blocks("resource").items() if "allUsers" in str(one)]
    assert public == ["google_storage_bucket_iam_member.static_public"]


def test_every_exception_from_a_policy_has_a_reason() -> None:
    said = re.findall(r"checkov:skip=(.*)", ALL)
    assert len(said) == ALL.count("checkov:")
    assert not [line for line in said if not re.fullmatch(r"CKV2?_GCP_\d+:\w.{7,}", line)]


# What other files say


def test_a_plain_deployment_finds_what_terraform_makes() -> None:
    """app.yaml names secrets and the database; the same are made here."""
    variables = yaml.safe_load((ROOT / "app.yaml").read_text())["env_variables"]
    named = {entry.partition("=")[2].partition(":")[0] for entry in variables["SECRETS"].split(",")}
    [secrets] = re.findall(r"^  secrets = \{\n(.*?)^  \}", TEXTS["secrets.tf"], re.DOTALL | re.MULTILINE)
    assert named == set(re.findall(r"^ *([a-z-]+) += \d+", secrets, re.MULTILINE))
    instance = plain(blocks("resource")["google_sql_database_instance.main"]["name"])
    assert variables["INSTANCE_CONNECTION_NAME"].rpartition(":")[2] == instance
    database, user = (
        plain(blocks("resource")[f"{kind}.app"]["name"])
        for kind in ("google_sql_database", "google_sql_user")
    )
    assert (variables["DB_NAME"], variables["DB_USER"]) == (database, user)


def test_every_name_laid_over_the_environment_is_one_that_the_settings_read() -> None:
    folders = (ROOT / "mysite/settings", ROOT / "apps/appengine")
    settings = "".join(path.read_text() for folder in folders for path in folder.glob("*.py"))
    names = set(re.findall(r"^ +([A-Z][A-Z_]+) += ", ALL, re.MULTILINE))
    assert {"DB_NAME", "MEDIA_BUCKET", "REDIS_HOST"} <= names
    assert {name for name in names if f'"{name}"' not in settings} == set()


def test_every_field_that_a_metric_is_made_of_is_one_that_the_code_logs() -> None:
    code = "".join(path.read_text() for path in (ROOT / "apps").rglob("*.py"))
    fields = set(re.findall(r"jsonPayload\.(\w+)", ALL)) - {"event"}
    fields |= set(re.findall(r'"(\w+)"', " ".join(re.findall(r"^ +labels += \[(.*?)\]", ALL, re.MULTILINE))))
    events = set(re.findall(r'jsonPayload\.event=\\"(\w+)', ALL))
    assert {"cron", "task"} <= events <= set(re.findall(r'"event": "(\w+)"', code))
    assert {"job", "outcome", "queue"} <= fields
    assert not [name for name in fields if not re.search(rf'"{name}"[:\]]', code)]


# webhooks: begin
ALERTS = set(re.findall(r'^ +alert += "([a-z-]+)"', ALL, re.MULTILINE)) | {"budget"}


def test_every_field_of_a_metric_belongs_to_its_event() -> None:
    """docs/metrics.md says which fields an event has, and a test of its own that this is so."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    listed: dict[str, set[str]] = {}
    for event, field in rows:
        listed.setdefault(event, {"event"}).add(field)
    metrics = re.findall(r"^ +filter +=.*?^ +\}", ALL, re.DOTALL | re.MULTILINE)
    made_of = [one for one in metrics if "jsonPayload.event" in one]
    assert len(made_of) == 7
    for one in made_of:
        [event] = re.findall(r'jsonPayload\.event=\\"(\w+)', one)
        labels = re.findall(r'"(\w+)"', "".join(re.findall(r"labels += \[(.*?)\]", one)))
        assert {*re.findall(r"jsonPayload\.(\w+)", one), *labels} <= listed[event]


def test_every_alert_has_a_runbook_of_its_name_and_every_runbook_an_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text().partition("\n## Alerts")[2].partition("\n## ")[0]
    assert len(ALERTS) == 8
    assert set(re.findall(r"^### ([a-z-]+)$", page, re.MULTILINE)) == ALERTS


def test_every_kind_that_expires_has_a_policy_that_deletes_it() -> None:
    models = (ROOT / "apps/deliveries/models.py").read_text()
    kinds = re.split(r"^class (\w+)\(ndb\.Model\)", models, flags=re.MULTILINE)[1:]
    expiring = {kind for kind, body in zip(kinds[::2], kinds[1::2], strict=True) if "expires_at" in body}
    [listed] = re.findall(
        r'"google_firestore_field" "expires_at" \{\s+for_each = toset\((.*?)\)', TEXTS["webhooks.tf"]
    )
    assert set(re.findall(r'"(\w+)"', listed)) == expiring


def test_payloads_outlive_their_messages() -> None:
    [days] = re.findall(
        r"kept_for: timedelta = timedelta\(days=(\d+)\)", (ROOT / "apps/deliveries/accept.py").read_text()
    )
    [age] = re.findall(r"age = (\d+)", TEXTS["webhooks.tf"])
    assert int(age) >= int(days) + 2  # TTL lags by a day, and so does the lifecycle


# webhooks: end
