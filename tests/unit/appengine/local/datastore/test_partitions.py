"""Projects, databases and namespaces do not see each other."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument

from tests.unit.appengine.local.datastore.conftest import Start
from tests.unit.appengine.local.datastore.messages import entity, equal, key, query
from tests.unit.appengine.local.datastore.served import Served

PARTITIONS = list(product(["", "named"], ["", "n", "n2"]))


@pytest.fixture
def indexes(tmp_path: Path) -> Path:
    file = tmp_path / "index.yaml"
    file.write_text("indexes:\n- kind: K\n  properties:\n  - name: b\n  - name: a\n")
    return file


def test_databases_and_namespaces_hold_the_same_key_apart(start: Start, indexes: Path) -> None:
    served = start(indexes=indexes)
    for number, (database, namespace) in enumerate(PARTITIONS):
        served.put(key("K", 1, database=database, namespace=namespace), a=number, b=1)
        served.put(key("K", 2, database=database, namespace=namespace), a=-number, b=1)

    for number, (database, namespace) in enumerate(PARTITIONS):
        partition = {"project_id": "p", "database_id": database, "namespace_id": namespace}
        request: dict[str, Any] = {"database_id": database, "partition_id": partition}
        of = key("K", 1, database=database, namespace=namespace)
        found = served.call("lookup", keys=[of], database_id=database).found
        assert [each.entity.properties["a"].integer_value for each in found] == [number]
        for asked in (query("K"), query(""), query("K", order="-a"), query("K", equal(b=1), order="a")):
            assert sorted(map(int, served.names(asked, **request))) == [1, 2]
        assert served.names(query("K", equal(a=number)), **request)[0] == 1
        assert served.count(query("K", equal(a=number + 1)), **request) == 0


def test_a_deletion_in_one_namespace_leaves_the_others(served: Served) -> None:
    here, there = key("K", 1), key("K", 1, namespace="n")
    served.put_all([entity(here, a=1), entity(there, a=1)])

    served.commit({"delete": here})

    assert not served.lookup(here).found
    assert len(served.lookup(there).found) == 1


@pytest.mark.parametrize("elsewhere", [{"project": "other"}, {"database": "other"}], ids=str)
def test_a_key_of_another_project_or_database_is_refused(served: Served, elsewhere: dict[str, str]) -> None:
    of = key("K", 1, **elsewhere)

    with pytest.raises(InvalidArgument, match="mismatched databases"):
        served.lookup(of)
    with pytest.raises(InvalidArgument, match="mismatched databases"):
        served.commit({"upsert": entity(of)})
    with pytest.raises(InvalidArgument, match="mismatched databases"):
        served.commit({"delete": of})
    with pytest.raises(InvalidArgument, match="mismatched databases"):
        served.call("allocate_ids", keys=[key("K", **elsewhere)])


def test_a_partition_of_another_project_is_refused_in_a_query(served: Served) -> None:
    with pytest.raises(InvalidArgument, match="mismatched databases"):
        served.run(query("K"), partition_id={"project_id": "other"})


def test_a_key_without_a_partition_is_of_the_request(served: Served) -> None:
    bare = key("K", 1, project="")

    served.put_all([entity(bare, a=1)])

    assert served.lookup(key("K", 1)).found[0].entity.key == key("K", 1)
