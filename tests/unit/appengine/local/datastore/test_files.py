"""What is kept in a file, what is forgotten, and several that use one file."""

from functools import partial
from pathlib import Path

import grpc
import pytest
from google.api_core.exceptions import Aborted, InvalidArgument

from tests.unit.appengine.local.datastore.conftest import Start
from tests.unit.appengine.local.datastore.messages import entity, equal, key, query
from tests.unit.appengine.local.datastore.served import Served, in_threads

K = key("K", 1)


def test_a_reset_forgets_entities_and_transactions(served: Served) -> None:
    served.put(K, a=1)
    transaction = served.begin()

    served.unary("/reset")

    assert not served.lookup(K).found
    assert served.names(query("")) == []
    with pytest.raises(InvalidArgument):
        served.lookup(K, transaction=transaction)


def test_a_reset_reads_index_yaml_again(start: Start, tmp_path: Path) -> None:
    indexes = tmp_path / "index.yaml"
    indexes.write_text("indexes:\n")
    served = start(indexes=indexes)
    indexes.write_text("indexes: nonsense")

    with pytest.raises(grpc.RpcError, match=r"index\.yaml"):
        served.unary("/reset")


def test_one_in_memory_leaves_nothing_behind(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = Served.start()
    first.put(K)
    first.stop()

    assert list(tmp_path.iterdir()) == []
    assert not start().lookup(K).found


def test_two_in_memory_do_not_see_each_other(start: Start) -> None:
    one, other = start(), start()

    one.put(K)

    assert not other.lookup(K).found


def test_a_file_keeps_what_was_written(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "a folder" / "datastore.sqlite3"
    first = Served.start(file)
    version = first.put(K, a=1).version
    first.stop()

    again = start(file)

    assert again.lookup(K).found[0].entity == entity(K, a=1)
    assert again.put(K, a=2).version > version


def test_a_file_keeps_all_of_an_entity_when_its_properties_change(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "datastore.sqlite3"
    first = Served.start(file)
    first.put(K, a=1, b=[1, 2])
    first.put(K, b=[2, 3])
    first.stop()

    again = start(file)

    found = {number: again.names(query("K", equal(b=number))) for number in (1, 2, 3)}
    assert found == {1: [], 2: [1], 3: [1]}
    assert again.names(query("K", equal(a=1))) == []


def test_two_on_one_file_see_each_other_and_conflict(start: Start, tmp_path: Path) -> None:
    file, indexes = tmp_path / "datastore.sqlite3", tmp_path / "index.yaml"
    one = start(file)
    indexes.write_text("indexes:\n- kind: K\n  properties:\n  - name: b\n  - name: a\n")
    other = start(file, indexes)
    transaction = one.begin()
    one.lookup(K, transaction=transaction)

    seen = other.put(K, a=1, b=1).version

    assert one.lookup(K).found[0].version == seen
    with pytest.raises(Aborted):
        one.commit({"upsert": entity(K)}, transaction=transaction)
    assert one.put(key("K", 2), a=0, b=1).version > seen
    assert other.names(query("K", equal(b=1), order="a")) == [2, 1]


def test_two_on_one_file_write_at_once(start: Start, tmp_path: Path) -> None:
    both = [start(tmp_path / "datastore.sqlite3") for _ in range(2)]

    def write(served: Served, first: int) -> None:
        for number in range(first, first + 10):
            served.put(key("K", number), a=1)

    in_threads([partial(write, both[number % 2], 1 + 10 * number) for number in range(4)])
    for served in both:
        assert served.names(query("K", equal(a=1))) == list(range(1, 41))
