"""The protocol's messages as plain protobuf classes, without the client library around them.

Importing google.cloud.datastore_v1 loads the clients too, three times the start-up of this server. Only
its `types` are wanted, so an empty package stands in for their parent while they load.
https://cloud.google.com/datastore/docs/reference/data/rpc/google.datastore.v1
"""

import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

import google.cloud

PACKAGE = "google.cloud.datastore_v1"


def load() -> Any:
    """The module google.cloud.datastore_v1.types."""
    if PACKAGE in sys.modules:
        from google.cloud.datastore_v1 import types  # noqa: PLC0415  only once its parent is in place

        return types
    found = PathFinder.find_spec(PACKAGE, google.cloud.__path__)
    sys.modules[PACKAGE] = ModuleType(PACKAGE)
    sys.modules[PACKAGE].__path__ = list(found.submodule_search_locations or []) if found else []
    try:
        return load()
    finally:
        del sys.modules[PACKAGE]  # whoever wants the clients still gets them


types = load()
Entity: Any = types.Entity.pb()
Key: Any = types.Key.pb()
Value: Any = types.Value.pb()
Query: Any = types.Query.pb()
Property: Any = types.PropertyFilter.Operator
EntityResult: Any = types.EntityResult.pb()
Batch: Any = types.QueryResultBatch.pb()
Mutation: Any = types.Mutation.pb()
