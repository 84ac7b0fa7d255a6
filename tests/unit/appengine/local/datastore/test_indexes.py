"""Which queries need a composite index, and how index.yaml gives it to them."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import FailedPrecondition
from google.cloud.datastore_v1 import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.appengine.local.datastore.store import Store
from tests.unit.appengine.local.datastore.conftest import Start
from tests.unit.appengine.local.datastore.messages import (
    below,
    both,
    either,
    entity,
    equal,
    key,
    query,
    where,
)
from tests.unit.appengine.local.datastore.served import Served, rows

PARENT = key("P", 1)


def index(*properties: str, ancestor: bool = False) -> str:
    """An entry of index.yaml; a minus for descending."""
    lines = ["- kind: K", *(["  ancestor: yes"] if ancestor else []), "  properties:"]
    for name in properties:
        lines += [f"  - name: {name.removeprefix('-')}"]
        lines += ["    direction: desc"] if name.startswith("-") else []
    return "\n".join(lines) + "\n"


B_THEN_A = index("b", "a")
SORTED = query("K", equal(b=1), order="a")  # needs it


@pytest.fixture
def index_yaml(tmp_path: Path) -> Path:
    """An index.yaml without an index."""
    return write(tmp_path / "index.yaml")


def write(file: Path, *indexes: str) -> Path:
    file.write_text("indexes:\n" + "".join(indexes))
    return file


def needed(served: Served, asked: types.Query, **request: Any) -> str:
    """The entry of index.yaml that the refusal names."""
    with pytest.raises(FailedPrecondition, match="no matching index found") as refused:
        served.run(asked, **request)
    text: str = refused.value.message
    return text[text.index("- kind:") :]


NEEDS: dict[str, tuple[types.Query, str]] = {
    "b = 1 order by a": (query("K", equal(b=1), order="a"), index("b", "a")),
    "b = 1 order by a desc": (query("K", equal(b=1), order="-a"), index("b", "-a")),
    "b = 1 and c = 1 order by a": (query("K", equal(c=1, b=1), order="a"), index("b", "c", "a")),
    "order by b, a": (query("K", order="b a"), index("b", "a")),
    "order by b, a desc": (query("K", order="b -a"), index("b", "-a")),
    "b > 1 order by b, a": (query("K", where("b", "GREATER_THAN", 1), order="b a"), index("b", "a")),
    "b = 1 and a > 1": (query("K", equal(b=1), where("a", "GREATER_THAN", 1)), index("b", "a")),
    "a, b order by b": (query("K", projection="b a", order="b"), index("b", "a")),
    "a where b = 1": (query("K", equal(b=1), projection="a"), index("b", "a")),
    "ancestor order by a": (query("K", below(PARENT), order="a"), index("a", ancestor=True)),
    "ancestor and a < 1": (
        query("K", below(PARENT), where("a", "LESS_THAN", 1)),
        index("a", ancestor=True),
    ),
    "ancestor and b = 1 order by a desc": (
        query("K", below(PARENT), equal(b=1), order="-a"),
        index("b", "-a", ancestor=True),
    ),
    "order by __key__ desc": (query("K", order="-__key__"), index("-__key__")),
    "a = 1 order by __key__ desc": (query("K", equal(a=1), order="-__key__"), index("a", "-__key__")),
}


@pytest.mark.parametrize(("asked", "named"), NEEDS.values(), ids=NEEDS.keys())
def test_a_query_without_its_index_is_refused_with_the_text_that_index_yaml_lacks(
    served: Served, asked: types.Query, named: str
) -> None:
    assert needed(served, asked) == named


NEEDS_NONE: dict[str, types.Query] = {
    "all": query("K"),
    "order by __key__": query("K", order="__key__"),
    "order by a desc": query("K", order="-a"),
    "order by a, __key__": query("K", order="a __key__"),
    "a > 0 and a < 2": query("K", where("a", "GREATER_THAN", 0), where("a", "LESS_THAN", 2)),
    "projection": query("K", projection="a"),
    "a = 1 and b = 1": query("K", equal(a=1, b=1)),
    "a = 1 and b = 1 order by __key__": query("K", equal(a=1, b=1), order="__key__"),
    "a = 1 and ancestor": query("K", equal(a=1), below(PARENT)),
    "a = 1 and __key__ >": query("K", equal(a=1), where("__key__", "GREATER_THAN", PARENT)),
    "a = 1 or b = 1": query("K", either(equal(a=1), equal(b=1))),
    "a in": query("K", where("a", "IN", [1, 2])),
    "ancestor": query("K", below(PARENT)),
    "ancestor of any kind": query("", below(PARENT)),
}


@pytest.mark.parametrize("asked", NEEDS_NONE.values(), ids=NEEDS_NONE.keys())
def test_what_built_in_indexes_answer_needs_none(served: Served, asked: types.Query) -> None:
    served.put(key("P", 1, "K", 1), a=1, b=1)

    assert served.names(asked) == [1]


def test_equalities_are_answered_by_merging_indexes_of_the_same_order(start: Start, index_yaml: Path) -> None:
    write(
        index_yaml,
        index("a", "c"),
        index("b", "c"),
    )
    served = start(indexes=index_yaml)
    served.put_all(entity(key("K", 1 + n), a=n % 2, b=n % 3, c=-n) for n in range(12))

    assert served.names(query("K", equal(a=1, b=1), order="c")) == [8, 2]
    assert needed(served, query("K", equal(a=1, b=1), order="-c")) == index("a", "b", "-c")


def test_a_query_can_be_explained_by_the_indexes_it_uses_with_and_without_results(
    start: Start, index_yaml: Path
) -> None:
    served = start(indexes=write(index_yaml, B_THEN_A))
    served.put(key("K", 1), a=1, b=1)

    for analyze in (False, True):
        answer = served.call("run_query", query=SORTED, explain_options={"analyze": analyze})
        used = answer.explain_metrics.plan_summary.indexes_used
        assert [each["properties"] for each in used] == ["(b ASC, a ASC, __name__ ASC)"]
        assert len(answer.batch.entity_results) == analyze


# The random queries are about these: every a, b, c of 0 to 2, beneath two parents.
ENTITIES: dict[str, dict[str, Any]] = {
    f"{a}{b}{c}": {"a": a, "b": b, "c": c, "__key__": f"{1 + (a + b + c) % 2}/{a}{b}{c}"}
    for a, b, c in product(range(3), repeat=3)
}
TERMS = {"=": ("EQUAL", 1), "<": ("LESS_THAN", 2), ">": ("GREATER_THAN_OR_EQUAL", 1), "!": ("NOT_EQUAL", 0)}
HOLDS = {"=": {1}, "<": {0, 1}, ">": {1, 2}, "!": {1, 2}}
TERM = st.dictionaries(st.sampled_from("abc"), st.sampled_from("==<>"), min_size=1)
ORDERS = st.lists(
    st.sampled_from(["a", "b", "c", "-a", "-b", "-c", "__key__", "-__key__"]),
    max_size=3,
    unique_by=lambda name: name.removeprefix("-"),
)


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(TERM, max_size=2), ORDERS, st.booleans(), st.sampled_from(["", "a", "b c", "__key__"]))
def test_the_index_that_a_refusal_names_is_the_one_that_makes_the_query_work(
    loaded: Served,
    index_yaml: Path,
    alternatives: list[dict[str, str]],
    orders: list[str],
    inside: bool,
    projection: str,
) -> None:
    equalities = {name for terms in alternatives for name, term in terms.items() if term == "="}
    asked = query(
        "K",
        *([either(*map(conjunction, alternatives))] if alternatives else []),
        *([below(PARENT)] if inside else []),
        order=" ".join(orders),
        projection=" ".join(name for name in projection.split() if name not in equalities),
    )
    write(index_yaml)
    loaded.store.reread_indexes()

    found = found_with_named_indexes(loaded, index_yaml, asked)

    expected = [name for name in ENTITIES if matches(name, alternatives, inside=inside)]
    assert sorted(found) == sorted(expected)
    assert in_order(found, orders), f"{found} by {orders}"


@pytest.fixture
def loaded(start: Start, index_yaml: Path) -> Served:
    """Has the entities that random queries are about."""
    served = start(indexes=index_yaml)
    served.put_all(
        entity(key("P", int(of["__key__"][0]), "K", name), a=of["a"], b=of["b"], c=of["c"])
        for name, of in ENTITIES.items()
    )
    return served


def conjunction(terms: dict[str, str]) -> types.Filter:
    return both(*(where(name, *TERMS[term]) for name, term in terms.items()))


def found_with_named_indexes(served: Served, index_yaml: Path, asked: types.Query) -> list[Any]:
    """Each alternative of a query may name one."""
    given: list[str] = []
    while len(given) <= 2:
        try:
            return served.names(asked)
        except FailedPrecondition as refused:
            named = refused.message[refused.message.index("- kind:") :]
            assert named not in given
            write(index_yaml, *given, named)
            given.append(named)
    raise AssertionError(given)


def matches(name: str, alternatives: list[dict[str, str]], *, inside: bool) -> bool:
    of = ENTITIES[name]
    if inside and not of["__key__"].startswith("1/"):
        return False
    return not alternatives or any(
        all(of[each] in HOLDS[term] for each, term in terms.items()) for terms in alternatives
    )


def in_order(found: list[str], orders: list[str]) -> bool:
    """A stable sort by each order, the last first, changes nothing of what they decide."""
    by_orders = list(found)
    for order in reversed(orders):
        values = {name: ENTITIES[name][order.removeprefix("-")] for name in found}
        by_orders.sort(key=values.__getitem__, reverse=order.startswith("-"))
    return by_orders == found


def test_an_edited_index_yaml_counts_without_a_restart_for_entities_that_are_there(
    start: Start, index_yaml: Path
) -> None:
    served = start(indexes=index_yaml)
    served.put_all(entity(key("K", 1 + n), a=-n, b=1) for n in range(3))
    named = needed(served, SORTED)

    write(index_yaml, named)

    assert served.names(SORTED) == [3, 2, 1]
    served.put(key("K", 4), a=-1, b=1)
    assert served.names(SORTED) == [3, 2, 4, 1]


def test_an_index_that_is_removed_is_gone_with_its_entries_after_a_restart(
    start: Start, index_yaml: Path, tmp_path: Path
) -> None:
    file = tmp_path / "datastore.sqlite3"
    first = Served.start(file, write(index_yaml, B_THEN_A))
    first.put_all(entity(key("K", 1 + n), a=n, b=1) for n in range(10))
    first.stop()
    before = rows(file, "entry")

    served = start(file, write(index_yaml))

    assert rows(file, "entry") == before - 10
    assert needed(served, SORTED) == B_THEN_A


def test_an_index_that_is_added_before_a_start_has_the_entities_of_the_file(
    start: Start, index_yaml: Path, tmp_path: Path
) -> None:
    file = tmp_path / "datastore.sqlite3"
    first = Served.start(file, index_yaml)
    first.put(key("K", 1), a=1, b=1)
    first.stop()

    assert start(file, write(index_yaml, B_THEN_A)).names(SORTED) == [1]


def test_a_file_opened_without_index_yaml_keeps_the_indexes_it_has(
    start: Start, index_yaml: Path, tmp_path: Path
) -> None:
    file = tmp_path / "datastore.sqlite3"
    first = Served.start(file, write(index_yaml, B_THEN_A))
    first.put(key("K", 1), a=1, b=1)
    first.stop()

    served = start(file)

    served.put(key("K", 2), a=0, b=1)
    assert served.names(SORTED) == [2, 1]


@pytest.mark.parametrize("name", ["no", "null", "12", "1.0", "a: b", "x #y", "- a", "'", "é\n"])
def test_names_that_yaml_reads_as_something_else_are_quoted(
    start: Start, index_yaml: Path, tmp_path: Path, name: str
) -> None:
    asked = query("K", equal(b=1))
    asked.order = [types.PropertyOrder(property={"name": name})]
    file = tmp_path / "datastore.sqlite3"
    first = Served.start(file, index_yaml)
    first.put(key("K", 1), b=1, **{name: 1})

    write(index_yaml, needed(first, asked))

    assert first.names(asked) == [1]
    first.stop()
    assert start(file).names(asked) == [1]


NONSENSE = ["a: [", "- kind: K", "indexes", "indexes: 5", "indexes: [K]", "indexes:\n- properties: []", "\0"]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_in_index_yaml_is_one_sentence_at_the_start(index_yaml: Path, text: str) -> None:
    index_yaml.write_text(text)

    with pytest.raises(ValueError, match=r"^index\.yaml") as refused:
        Store(None, index_yaml)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_edited_into_index_yaml_is_said_and_what_worked_goes_on(
    start: Start, index_yaml: Path, text: str
) -> None:
    served = start(indexes=write(index_yaml, B_THEN_A))
    served.put(key("K", 1), a=1, b=1)

    index_yaml.write_text(text)

    assert served.names(SORTED) == [1]
    with pytest.raises(FailedPrecondition, match=r"index\.yaml"):
        served.run(query("K", equal(a=1), order="b"))
    write(index_yaml, B_THEN_A)
    assert served.names(SORTED) == [1]


def test_an_index_yaml_that_is_gone_is_said_and_what_worked_goes_on(start: Start, index_yaml: Path) -> None:
    served = start(indexes=write(index_yaml, B_THEN_A))
    served.put(key("K", 1), a=1, b=1)

    index_yaml.unlink()

    assert served.names(SORTED) == [1]
    with pytest.raises(FailedPrecondition, match=r"index\.yaml"):
        served.run(query("K", equal(a=1), order="b"))


def test_an_index_that_would_explode_for_an_entity_is_one_sentence_at_the_start(
    index_yaml: Path, tmp_path: Path
) -> None:
    file = tmp_path / "datastore.sqlite3"
    first = Served.start(file, index_yaml)
    first.put(key("K", 7), a=list(range(150)), b=list(range(150)))
    first.stop()

    with pytest.raises(ValueError, match="20,000 index entries"):
        Store(file, write(index_yaml, B_THEN_A))


def test_a_transaction_that_is_older_than_an_index_never_answers_without_it(
    start: Start, index_yaml: Path
) -> None:
    served = start(indexes=index_yaml)
    served.put(key("K", 1), a=1, b=1)
    older = served.begin()

    write(index_yaml, B_THEN_A)

    with pytest.raises(FailedPrecondition, match="no matching index found"):
        served.run(SORTED, older)
    assert served.names(SORTED, served.begin()) == [1]
