"""The Datastore's page in front of ours: what it shows, and that it shows it as text."""

import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from bs4 import BeautifulSoup
from google.cloud import ndb

from tests import datastores

ROOT = Path(__file__).resolve().parents[2]
INDEX_YAML = """indexes:
- kind: Parcel
  properties:
  - name: city
  - name: weight
    direction: desc
"""
SCRIPT = "<script>alert('&')</script>"

type Ask = Callable[..., Any]  # (path, status, **parameters) -> the page, parsed


class Parcel(ndb.Expando):
    note: str = ndb.TextProperty()
    sealed: bytes = ndb.BlobProperty()


class Markup(ndb.Expando):
    @classmethod
    def _get_kind(cls) -> str:
        return SCRIPT


def fill() -> None:
    """60 parcels from p00 to p59, and one entity that is all markup."""
    parcels = [
        Parcel(
            id=f"p{number:02}",
            city="Oslo" if number % 2 else "Turku",
            weight=number,
            sent=datetime(2026, 1, 1, number % 24, tzinfo=UTC).replace(tzinfo=None),
        )
        for number in range(60)
    ]
    parcels[7].populate(note="x" * 5000, sealed=b"v1:k:\xff\x00", labels=["a", "b"], fee=1.5, paid=False)
    parcels[7].part_of = ndb.Key(Parcel, "p06")
    markup = Markup(id=SCRIPT)
    setattr(markup, SCRIPT, SCRIPT)
    ndb.put_multi([*parcels, markup])


@contextmanager
def page_of(address: str, folder: Path) -> Iterator[Ask]:
    """The page's process. Called with a path and parameters, it answers with the HTML."""
    (folder / "index.yaml").write_text(INDEX_YAML)
    options = {"page": f"unix:{folder}/page", "datastore": address, "indexes": str(folder / "index.yaml")}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    command = [sys.executable, "-m", "apps.appengine.local.datastore_viewer", *flags]
    with subprocess.Popen(command, cwd=ROOT) as process:

        def ask(path: str = "/", status: int = 200, **parameters: str) -> Any:
            connection = http.client.HTTPConnection("localhost", timeout=10)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(f"{folder}/page")
            connection.request("GET", f"{path}?{urlencode(parameters)}" if parameters else path)
            response = connection.getresponse()
            text = response.read().decode()
            connection.close()
            assert response.status == status, text
            assert not BeautifulSoup(text, "html.parser").find("script")
            return BeautifulSoup(text, "html.parser")

        try:
            deadline = time.monotonic() + 20
            while not (folder / "page").exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield ask
        finally:
            process.terminate()
            assert process.wait(10) == 0


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """The page of a Datastore with entities in two namespaces."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "enforced.yaml").write_text(INDEX_YAML)
    with datastores.running(datastores.EMBEDDED, folder / "enforced.yaml") as datastore:
        with datastores.as_emulator_host(datastore.host):
            client = ndb.Client(project="local")
        with client.context(cache_policy=False):
            fill()
        with client.context(namespace="abroad", cache_policy=False):
            Parcel(id="far", city="Bergen").put()
        with page_of(datastore.host, folder) as page:
            yield page


def follow(ask: Ask, page: Any, text: str) -> Any:
    """Click the link with this text."""
    return ask(f"/{page.find('a', string=text)['href'].removeprefix('./')}")


def keys(page: Any) -> list[str]:
    return [heading.text for heading in page.select("tbody th")]


def found(ask: Ask, gql: str) -> list[str]:
    """The parcels that a query finds, by their numbers."""
    page = ask("/query", gql=gql)
    assert not page.find(role="alert"), page.find(role="alert").text
    return [key.removeprefix("KEY(Parcel, 'p").removesuffix("')") for key in keys(page)]


def test_it_lists_kinds_and_namespaces_which_lead_to_their_entities(ask: Ask) -> None:
    start = ask()
    assert [item.text for item in start.find("h2", string="Kinds").find_next("ul").find_all("li")] == [
        SCRIPT,
        "Parcel",
    ]
    assert keys(follow(ask, start, "Parcel"))[0] == "KEY(Parcel, 'p00')"
    abroad = follow(ask, start, "abroad")
    listed = follow(ask, abroad, "Parcel")
    assert keys(listed) == ["KEY(Parcel, 'far')"]
    asked = {"gql": "SELECT * FROM Parcel WHERE __key__ = KEY(Parcel, 'far')", "namespace": "abroad"}
    assert keys(ask("/query", **asked)) == keys(listed)
    assert "Bergen" in follow(ask, listed, "KEY(Parcel, 'far')").table.text
    assert follow(ask, abroad, "the default one").find("a", string=SCRIPT)


def test_it_shows_the_index_file(ask: Ask) -> None:
    assert ask().pre.text == INDEX_YAML


def test_many_entities_are_paged_by_cursor(ask: Ask) -> None:
    first = ask("/query", gql="SELECT * FROM Parcel")
    second = follow(ask, first, "Next page")
    assert (len(keys(first)), len(keys(second))) == (50, 10)
    assert len({*keys(first), *keys(second)}) == 60
    assert not second.find("a", string="Next page")


def test_an_entity_shows_each_value_its_type_and_whether_it_is_indexed(ask: Ask) -> None:
    page = follow(ask, ask("/query", gql="SELECT * FROM Parcel WHERE weight = 7"), "KEY(Parcel, 'p07')")
    rows = {row.th.text: [cell.text for cell in row.find_all("td")] for row in page.select("tbody tr")}
    assert rows == {
        "city": ["Oslo", "string", "yes"],
        "weight": ["7", "integer", "yes"],
        "sent": ["2026-01-01T07:00:00Z", "timestamp", "yes"],
        "labels": ["[a, b]", "array", "yes"],
        "fee": ["1.5", "double", "yes"],
        "paid": ["false", "boolean", "yes"],
        "part_of": ["KEY(Parcel, 'p06')", "key", "yes"],
        "sealed": [r"7 bytes: b'v1:k:\xff\x00'", "blob", "no"],
        "note": [f"{'x' * 2000}… (5,000 characters)", "string", "no"],
    }


def test_an_entity_that_is_gone_is_said_to_be(ask: Ask) -> None:
    page = follow(ask, ask("/query", gql="SELECT * FROM Parcel LIMIT 1"), "KEY(Parcel, 'p00')")
    assert page.find("h1", string="Entity")
    assert "perhaps it was deleted" in ask("/entity", 404, key="CgcSBWxvY2FsEgoKBlBhcmNlbBAB").text
    ask("/entity", 400, key="no key")


@pytest.mark.parametrize(
    ("gql", "numbers"),
    [
        ("SELECT * FROM Parcel WHERE weight = 3", ["03"]),
        ("select * from Parcel where weight>=57 order by weight desc", ["59", "58", "57"]),
        ("SELECT * FROM Parcel WHERE city = 'Oslo' ORDER BY weight DESC LIMIT 2", ["59", "57"]),
        ("SELECT * FROM `Parcel` WHERE weight > 2 AND weight < 5", ["03", "04"]),
        ("SELECT * FROM Parcel ORDER BY weight LIMIT 2 OFFSET 4", ["04", "05"]),
        ("SELECT * FROM Parcel WHERE weight IN (1, 2, -3)", ["01", "02"]),
        ("SELECT * FROM Parcel WHERE weight NOT IN (0, 1) LIMIT 1", ["02"]),
        ("SELECT * FROM Parcel WHERE weight != 0 LIMIT 1", ["01"]),
        ("SELECT weight FROM Parcel WHERE weight <= 1", ["00", "01"]),
        ("SELECT DISTINCT city FROM Parcel", ["01", "00"]),
        ("SELECT __key__ FROM Parcel WHERE __key__ > KEY(Parcel, 'p57')", ["58", "59"]),
        ("SELECT * FROM Parcel WHERE __key__ HAS ANCESTOR KEY(Parcel, 'p07')", ["07"]),
        ("SELECT * FROM Parcel WHERE sent = DATETIME('2026-01-01T02:00:00+01:00')", ["01", "25", "49"]),
        ("SELECT * FROM Parcel WHERE paid = FALSE", ["07"]),
        ("SELECT * FROM Parcel WHERE fee > 1.25 AND fee < 1e3", ["07"]),
        ('SELECT * FROM Parcel WHERE city = "Pori\'s"', []),
    ],
)
def test_gql_finds_what_it_asks_for(ask: Ask, gql: str, numbers: list[str]) -> None:
    assert found(ask, gql) == numbers


@pytest.mark.parametrize(
    ("gql", "said"),
    [
        ("DELETE FROM Parcel", "Expected SELECT, found DELETE."),
        ("SELECT * FROM", "Expected a kind, found the end."),
        ("SELECT * FROM Parcel WHERE city", "Expected a comparison, found the end."),
        ("SELECT * FROM Parcel WHERE city = Oslo", "Expected a value, found Oslo."),
        ("SELECT * FROM Parcel WHERE city = 'Oslo' OR weight = 1", "Expected the end, found OR."),
        ("SELECT * FROM Parcel WHERE weight = 99999999999999999999", "Expected a value"),
        ("SELECT * FROM Parcel WHERE sent = DATETIME('noon')", "'noon' is no time"),
        ("SELECT * FROM Parcel LIMIT 'two'", "Expected int, found 'two'."),
        ("SELECT * FROM Parcel LIMIT -1", "-1 is no count."),
        (f"SELECT * FROM Parcel {SCRIPT}", "Expected the end, found <."),
    ],
)
def test_what_is_no_gql_is_said_and_kept_in_the_box(ask: Ask, gql: str, said: str) -> None:
    page = ask("/query", gql=gql)
    assert said in page.find(role="alert").text
    assert page.textarea.text == gql


def test_a_query_without_its_index_shows_what_to_add_to_the_index_file(ask: Ask) -> None:
    alert = ask("/query", gql="SELECT * FROM Parcel WHERE weight = 1 ORDER BY city").find(role="alert")
    assert "no matching index" in alert.p.text
    assert yaml.safe_load(alert.pre.text) == [
        {"kind": "Parcel", "properties": [{"name": "weight"}, {"name": "city"}]}
    ]


def test_it_says_which_index_a_query_used(ask: Ask) -> None:
    page = ask("/query", gql="SELECT * FROM Parcel WHERE city = 'Oslo' ORDER BY weight DESC LIMIT 1")
    assert "(city ASC, weight DESC, __name__ ASC)" in page.find(string=re.compile("^Index used:"))


def test_markup_in_kinds_keys_properties_and_values_is_text(ask: Ask) -> None:
    listed = follow(ask, ask(), SCRIPT)
    assert listed.textarea.text == f"SELECT * FROM `{SCRIPT}`"
    assert [cell.text for cell in listed.select("thead th, td")] == ["Key", SCRIPT, SCRIPT]
    entity = follow(ask, listed, listed.tbody.a.text)
    assert (entity.tbody.th.text, entity.tbody.td.text) == (SCRIPT, SCRIPT)


def test_the_box_has_a_label_and_each_table_a_caption_and_headers(ask: Ask) -> None:
    page = ask("/query", gql="SELECT * FROM Parcel WHERE weight = 1")
    assert page.find("label", attrs={"for": page.textarea["id"]}).text == "GQL"
    assert page.find(id=page.textarea["aria-describedby"])
    assert page.table.caption.text == "Entities"
    assert {heading["scope"] for heading in page.select("thead th")} == {"col"}
    assert {heading["scope"] for heading in page.select("tbody th")} == {"row"}


def test_a_datastore_that_is_down_is_said_to_be(tmp_path: Path) -> None:
    with page_of("127.0.0.1:1", tmp_path) as ask:
        assert "127.0.0.1:1" in ask().find(role="alert").text
        assert ask("/query", gql="SELECT * FROM Parcel").find(role="alert")
