"""Entities to JSON lines and back."""

import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Aborted
from google.cloud.datastore_v1 import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.appengine.local.datastore import transfer as transfer_module
from tests.unit.appengine.local.datastore.conftest import Start
from tests.unit.appengine.local.datastore.messages import (
    entity,
    equal,
    key,
    point,
    query,
    unindexed,
    value,
    where,
)
from tests.unit.appengine.local.datastore.served import Served

EVERYTHING = entity(
    key("P", "ä\n\0", "K", 1 << 62),
    text="ä\n\u2028\0",
    number=-(1 << 63),
    double=-0.0,
    infinite=math.inf,
    blob=b"\0\xff",
    time=datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC),
    none=None,
    true=True,
    place=point(-90, 180),
    of=key("L", 1, namespace="n"),
    list=[1, "a", None, {"b": [2]}],
    empty=[],
    nested={"a": {"b": unindexed("c")}},
    unindexed=unindexed("d"),
    meaning=types.Value(integer_value=1, meaning=18),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "datastore.sqlite3"


def transfer(way: str, file: Path, lines: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "apps.appengine.local.datastore.transfer", way, str(file)]
    return subprocess.run(
        command, check=False, input=lines, capture_output=True, text=True, encoding="utf-8", timeout=60
    )


def exported(file: Path) -> str:
    done = transfer("export", file)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_exported_and_imported_is_equal_and_found(start: Start, file: Path, tmp_path: Path) -> None:
    first = start(file)
    kept = [EVERYTHING, entity(key("K", "n", namespace="n"), a=1), entity(key("K", 5), a=[3, 4])]
    first.put_all(kept)
    first.put(key("K", 1, database="named"), a=1)

    lines = exported(file)
    other = tmp_path / "other.sqlite3"
    done = transfer("import", other, lines)

    assert (done.returncode, done.stderr) == (0, "4 entities\n")
    second = start(other)
    found = second.lookup(*(each.key for each in kept)).found
    assert [each.entity for each in found] == kept
    assert second.names(query("K", where("a", "GREATER_THAN", 3))) == [5]
    assert second.names(query("K", equal(number=-(1 << 63)))) == [1 << 62]
    assert len(second.lookup(key("K", 1, database="named"), database_id="named").found) == 1
    assert second.names(query("__kind__")) == ["K"]
    assert exported(other) == lines


TEXT = st.lists(st.sampled_from('aä\0\n\u2028\uffff\U0010ffff"\\'), max_size=4).map("".join)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.binary(max_size=5),
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(TEXT.filter(bool), SCALARS, max_size=2)
)


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(VALUES, max_size=4))
def test_any_values_survive_a_line(two: tuple[Served, Served], values: list[Any]) -> None:
    one, other = two
    kept = entity(key("K", 1), **{f"p{number}": value(each) for number, each in enumerate(values)})
    one.put_all([kept])

    lines = list(transfer_module.exported(one.store))
    assert transfer_module.imported(other.store, lines) == len(lines) == 1

    assert other.lookup(kept.key).found[0].entity == kept


@pytest.fixture
def two(start: Start) -> tuple[Served, Served]:
    return start(), start()


def test_an_import_into_the_file_of_a_server_that_runs_is_seen_at_once(
    start: Start, file: Path, tmp_path: Path
) -> None:
    indexes = tmp_path / "index.yaml"
    indexes.write_text("indexes:\n- kind: K\n  properties:\n  - name: b\n  - name: a\n")
    served = start(file, indexes, "expires")
    transaction = served.begin()
    assert served.names(query("K", equal(b=1), order="a"), transaction) == []
    elsewhere = start(tmp_path / "other.sqlite3")
    elsewhere.put(key("K", 1), a=1, b=1)
    elsewhere.put(key("K", 2), a=0, b=1, expires=datetime(2020, 1, 1, tzinfo=UTC))

    assert transfer("import", file, exported(tmp_path / "other.sqlite3")).returncode == 0

    assert served.names(query("K", equal(b=1), order="a")) == [2, 1]
    with pytest.raises(Aborted):
        served.commit({"upsert": entity(key("K", 3))}, transaction=transaction)
    served.datastore.delete_expired()
    assert served.names(query("K", equal(b=1), order="a")) == [1]


BAD = {
    "no JSON": "nonsense",
    "no entity": '{"kind": "K"}',
    "no key": '{"properties": {}}',
    "a reserved kind": '{"key": {"partitionId": {"projectId": "p"}, "path": [{"kind": "__x__", "id": "1"}]}}',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_line_is_named(two: tuple[Served, Served], bad: str) -> None:
    one, other = two
    one.put_all(entity(key("K", 1 + number)) for number in range(2))

    with pytest.raises(ValueError, match=r"^line 3: "):
        transfer_module.imported(other.store, [*transfer_module.exported(one.store), bad])


def test_a_bad_line_ends_the_import_with_one_sentence(file: Path) -> None:
    done = transfer("import", file, "nonsense\n")

    assert done.returncode == 1
    assert done.stderr.startswith(f"transfer: {file}: line 1: ")
    assert done.stderr.count("\n") == 1


def test_there_is_nothing_to_export_from_a_file_that_is_not_there(file: Path) -> None:
    done = transfer("export", file)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"transfer: {file}: ")
    assert done.stderr.count("\n") == 1
    assert not file.exists()


def test_a_file_that_is_something_else_is_not_touched(file: Path) -> None:
    file.write_text("my diary")

    done = transfer("import", file)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert file.read_text() == "my diary"
