"""docs/operations.md and what it is about agree: alerts, checks, stores, log fields, figures."""

import builtins
import re
from itertools import chain

import django.db.utils
import redis.exceptions
import yaml
from google.api_core import exceptions

from apps.appengine import queue_yaml
from apps.appengine.health import PROBES
from apps.deliveries import due, sweep
from tests.architecture.repository import ROOT

PAGE = (ROOT / "docs/operations.md").read_text()
TERRAFORM = "".join(path.read_text() for path in sorted((ROOT / "terraform").glob("*.tf")))


def section(heading: str) -> str:
    """The text under a heading of the second level."""
    found = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert found, heading
    return found


def headings() -> list[str]:
    """All headings, outside of blocks."""
    text = re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def anchor(heading: str) -> str:
    """GitHub's: lower case, no punctuation, hyphens for blanks."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    alerts = set(re.findall(r"^\s*alert\s*=\s*\"([a-z-]+)\"", TERRAFORM, re.MULTILINE))
    alerts |= set(re.findall(r"docs/operations\.md#([a-z-]+)", TERRAFORM))
    assert len(alerts) >= 8
    assert alerts == set(re.findall(r"^### ([a-z-]+)$", section("Alerts"), re.MULTILINE))


def test_every_runbook_says_what_it_means_where_to_look_and_what_to_do() -> None:
    for runbook in re.split(r"^### ", section("Alerts"), flags=re.MULTILINE)[1:]:
        name = runbook.partition("\n")[0]
        parts = re.findall(r"^\*\*(.+?)[.*]", runbook, re.MULTILINE)
        assert parts[:3] == ["Means", "First look", "Likely causes, in order, and the cure"], name
        assert re.search(r"^```sh$|in the console", runbook, re.MULTILINE), name


def test_every_threshold_is_terraforms() -> None:
    """`name` (figure): the default of a variable of Terraform, or a local value."""
    named = re.findall(r"`(\w+)`\s\(([\d.]+)", PAGE)
    default = r'^variable "(\w+)" \{\n(?:(?!^\}).*\n)*?\s*default\s*=\s*(\S+)'
    values = dict(re.findall(default, TERRAFORM, re.MULTILINE))
    values |= dict(re.findall(r"^  (\w+)\s*=\s*(\d+)$", TERRAFORM, re.MULTILINE))
    known = {name: figure for name, figure in named if name in values}
    assert {"latency_seconds", "task_delay_seconds", "dead_letters_an_hour", "backup_days"} <= set(known)
    assert known == {name: values[name] for name in known}


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    anchors = {anchor(heading) for heading in headings()}
    links = re.findall(r"\]\(#([^)]+)\)", re.sub(r"\s+", " ", PAGE))
    assert links
    assert not [link for link in links if link not in anchors]


def test_what_readiness_is_said_to_answer_it_can_answer() -> None:
    said = re.findall(r"`(\w+): ([A-Z]\w+|no answer[^`]*)`", section("Classic troubles"))
    assert {store for store, _ in said} == set(PROBES)
    kinds = set(chain.from_iterable(map(dir, (builtins, django.db.utils, redis.exceptions, exceptions))))
    assert not [error for _, error in said if error not in kinds and error != "no answer within 2 s"]


def test_every_check_that_is_named_exists() -> None:
    named = set(re.findall(r"\b(?:appengine|core|applications)\.[EW]\d{3}\b", PAGE))
    code = "".join(path.read_text() for path in (ROOT / "apps").rglob("*.py"))
    assert len(named) >= 10
    assert not {name for name in named if name not in code}


def test_every_field_that_is_searched_for_is_logged() -> None:
    fields = set(re.findall(r"jsonPayload\.(\w+)", PAGE))
    logged = set(re.findall(r"^\| `\w+` \| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    assert {"event", "overdue"} <= fields
    assert not fields - logged - {"event", "logger", "message"}


def test_the_figures_of_the_pipeline_are_those_of_the_code() -> None:
    in_a_minute = due.SHARDS * sweep.MOST_PER_SHARD
    assert f"{due.SHARDS} x {sweep.MOST_PER_SHARD} = {in_a_minute:,} deliveries a minute" in PAGE
    assert PAGE.count(f"{in_a_minute:,} deliveries a minute") == PAGE.count("deliveries a minute")


def test_a_dump_is_restored_in_one_transaction() -> None:
    """A site that meets tables without rows takes every endpoint for deleted, and gives deliveries up."""
    restores = re.findall(r"^pg_restore .*", PAGE, re.MULTILINE)
    assert restores
    assert all("--single-transaction" in command for command in restores)


def test_scaling_starts_from_the_files_and_the_figures_follow() -> None:
    app = yaml.safe_load((ROOT / "app.yaml").read_text())
    queues = {queue.name: queue for queue in queue_yaml.read(ROOT / "queue.yaml").values()}
    cpu_ms, ghz, mhz = (
        float(re.search(pattern, PAGE)[1])  # type: ignore[index]  # a pattern that is not found ends the test
        for pattern in (r"takes ([\d.]+) ms of CPU", r"core of ([\d.]+) GHz", r"an F1 (\d+)\s+MHz")
    )
    on_f1_ms = cpu_ms * ghz * 1000 / mhz
    f1, f4 = round(1000 / on_f1_ms), round(1000 / on_f1_ms * 2400 / mhz)  # messages a second
    instances = app["automatic_scaling"]["max_instances"]
    assert (app["instance_class"], instances) == ("F1", 2), "the first row of the table"
    at_once = queues["deliveries"].max_concurrent_requests
    text = re.sub(r"\s+", " ", PAGE)
    for said in (
        f"{on_f1_ms:.1f} ms.",
        f"{on_f1_ms / 0.6:.0f} ms are paid",
        f"{f1} a second an F1",
        f"| {instances * f1} flat out, {0.6 * instances * f1:.0f} in comfort |",
        f"| {at_once / 0.25:.0f} | `deliveries` runs {at_once} tasks at once",
        f"| {instances * f4} flat out, {0.6 * instances * f4:.0f} in comfort |",
        f"`suspects` ({queues['suspects'].max_concurrent_requests} at once)",
    ):
        assert said in text, said
    assert queues["deliveries"].rate == 500  # the most that Cloud Tasks does, which the page speaks of
