"""Every public name of google-cloud-ndb is used by a test of this folder, or stands below with a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import ndb

NO_LONGER = [
    "AutoBatcher",
    "ContextOptions",
    "ModelAdapter",
    "QueueFuture",
    "ReducingFuture",
    "SerialQueueFuture",
    "add_flow_exception",
    "get_indexes",
    "get_indexes_async",
    "make_connection",
    "make_context",
    "make_default_context",
    "set_context",
]

ONLY_VALUES = "described the answers of get_indexes, which is no more"
OTHER_SERVERS = "speaks to a cache, not to the Datastore, which sees what it sees with any GlobalCache"
EXEMPT = {
    "__version__": "a text",
    "Index": ONLY_VALUES,
    "IndexProperty": ONLY_VALUES,
    "IndexState": ONLY_VALUES,
    "MemcacheCache": OTHER_SERVERS,
    "RedisCache": OTHER_SERVERS,
    "Key.from_old_key": "raises NotImplementedError",
    "Key.to_old_key": "raises NotImplementedError",
    "Query.run_to_queue": "raises NotImplementedError",
    "QueryIterator.index_list": "raises NotImplementedError",
    "Context.set_retry_state": "NDB's own, behind in_retry",
    "Context.get_retry_state": "NDB's own, behind in_retry",
    "Context.clear_retry_state": "NDB's own, behind in_retry",
    "Context.get_datastore_policy": "raises NotImplementedError",
}

CLASSES = [
    ndb.Client,
    ndb.Context,
    ndb.Cursor,
    ndb.Future,
    ndb.GlobalCache,
    ndb.Key,
    ndb.Model,
    ndb.Property,
    ndb.Query,
    ndb.QueryIterator,
    ndb.User,
]
FORMS = (classmethod, staticmethod, property)


def public() -> Iterator[str]:
    """`Name` for each of NDB's public names, `Class.method` for each public method."""
    yield from ndb.__all__
    for cls in CLASSES:
        methods = (name for name, value in vars(cls).items() if callable(value) or isinstance(value, FORMS))
        yield from (f"{cls.__name__}.{name}" for name in methods if not name.startswith("_"))


def used() -> set[str]:
    """`Name` wherever a test says `ndb.Name`, `.method` wherever one says `anything.method` or defines it."""
    names = set()
    for path in Path(__file__).parent.glob("*.py"):
        if path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names.add(f".{node.name}")
            elif isinstance(node, ast.Attribute):
                names.add(f".{node.attr}")
                if isinstance(node.value, ast.Name) and node.value.id == "ndb":
                    names.add(node.attr)
    return names


def is_used(name: str, names: set[str]) -> bool:
    cls, dot, method = name.partition(".")
    return f".{method}" in names if dot else cls in names


def test_every_public_name_is_used_by_a_test_or_exempt_with_a_reason() -> None:
    names = used()
    unused = {name for name in public() if not is_used(name, names)}
    assert unused - set(NO_LONGER) == set(EXEMPT)


@pytest.mark.parametrize("name", NO_LONGER)
def test_what_only_the_first_runtime_had_says_so(name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(ndb, name)()
