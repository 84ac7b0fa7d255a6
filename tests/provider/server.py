"""Serve the stand-ins for `hashicorp/google` and `hashicorp/random` to a real Terraform."""

import json
import os
import random
import string
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import proto

from tests.provider import messages
from tests.provider.values import UNKNOWN, pack, unpack

GOOGLE = json.loads((Path(__file__).parent / "schema.json").read_text())
NOTHING: dict[str, Any] = {"attributes": {}, "blocks": {}}
RANDOM = {
    "provider": NOTHING,
    "resources": {},
    "data_sources": {},
    "ephemeral_resources": {
        "random_password": {
            "attributes": {
                "length": ["number", "required"],
                "special": ["bool", "optional"],
                "override_special": ["string", "optional"],
                "result": ["string", "computed"],
            },
            "blocks": {},
        }
    },
}
NESTINGS = {"single": 1, "list": 2, "set": 3}
PROJECT_NUMBER = "123456789012"


def block(schema: dict[str, Any], *, top: bool = True) -> messages.Block:
    """A block in the protocol's form. What may be given at the top may be told by the provider, too."""
    return messages.Block(
        attributes=[
            messages.Attribute(
                name=name,
                type_=json.dumps(type_).encode(),
                required=kind == "required",
                optional=kind == "optional",
                computed=kind == "computed" or (top and kind == "optional" and not is_write_only(name)),
                write_only=is_write_only(name),
            )
            for name, (type_, kind) in schema["attributes"].items()
        ],
        block_types=[
            messages.NestedBlock(
                type_name=name,
                block=block(nested, top=False),
                nesting=NESTINGS[nested["nesting"]],
                min_items=nested["min"],
                max_items=nested["max"],
            )
            for name, nested in schema["blocks"].items()
        ],
    )


def is_write_only(name: str) -> bool:
    return name.endswith("_wo")


def in_protocol(value: Any) -> messages.DynamicValue:
    return messages.DynamicValue(msgpack=pack(value))


class Provider:
    """One provider. Remembers what it was given, secrets included."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.schemas = schemas
        self.made: dict[str, list[dict[str, Any]]] = {}  # configurations of applied resources, by type
        self.secrets: list[str] = []  # what ephemeral resources told
        self.lock = threading.Lock()

    def get_schema(self, _request: messages.Empty) -> messages.Schemas:
        def all_of(kind: str) -> dict[str, messages.Schema]:
            return {name: messages.Schema(block=block(one)) for name, one in self.schemas[kind].items()}

        return messages.Schemas(
            provider=messages.Schema(block=block(self.schemas["provider"], top=False)),
            resource_schemas=all_of("resources"),
            data_source_schemas=all_of("data_sources"),
            ephemeral_resource_schemas=all_of("ephemeral_resources"),
        )

    def prepare(self, request: messages.Config) -> messages.Config:
        return request

    def nothing_to_say(self, _request: proto.Message) -> messages.Diagnostics:
        return messages.Diagnostics()

    def upgrade(self, request: messages.Upgrade) -> messages.State:
        return messages.State(state=messages.DynamicValue(json=request.raw_state.json))

    def read(self, request: messages.Plan) -> messages.State:
        return messages.State(state=request.prior_state)

    def plan(self, request: messages.Plan) -> messages.State:
        """What was not given may turn out as anything."""
        planned = unpack(request.proposed_new_state.msgpack)
        if planned is not None:
            for name, (_, kind) in self.schemas["resources"][request.type_name]["attributes"].items():
                if is_write_only(name):
                    planned[name] = None
                elif kind != "required" and planned[name] is None:
                    planned[name] = UNKNOWN
        return messages.State(state=in_protocol(planned))

    def apply(self, request: messages.Apply) -> messages.State:
        planned, config = unpack(request.planned_state.msgpack), unpack(request.config.msgpack)
        if planned is not None:
            with self.lock:
                self.made.setdefault(request.type_name, []).append(config)
            attributes = self.schemas["resources"][request.type_name]["attributes"]
            for name, (type_, _) in attributes.items():
                if planned[name] is UNKNOWN:
                    planned[name] = invented(request.type_name, name, type_, config)
        return messages.State(state=in_protocol(planned))

    def read_data(self, request: messages.Typed) -> messages.State:
        config = unpack(request.config.msgpack)
        for name, (type_, _) in self.schemas["data_sources"][request.type_name]["attributes"].items():
            if config[name] is None:
                config[name] = invented(request.type_name, name, type_, config)
        return messages.State(state=in_protocol(config))

    def open(self, request: messages.Typed) -> messages.Opened:
        config = unpack(request.config.msgpack)
        letters = string.ascii_letters + string.digits
        config["result"] = "".join(random.choices(letters, k=config["length"]))
        self.secrets.append(config["result"])
        return messages.Opened(result=in_protocol(config))


def invented(type_name: str, name: str, type_: Any, config: dict[str, Any]) -> Any:
    """What Google would have told. Names that others are made of have the real form."""
    project = config.get("project") or config.get("project_id")
    account = f"{config.get('account_id')}@{project}.iam.gserviceaccount.com"
    told = {
        ("google_project", "number"): PROJECT_NUMBER,
        ("google_service_account", "email"): account,
        ("google_service_account", "member"): f"serviceAccount:{account}",
        ("google_app_engine_application", "default_hostname"): f"{project}.appspot.com",
        ("google_app_engine_application", "code_bucket"): f"staging.{project}.appspot.com",
        ("google_sql_database_instance", "connection_name"): (
            f"{project}:{config.get('region')}:{config.get('name')}"
        ),
        ("google_sql_database_instance", "private_ip_address"): "10.9.0.2",
        ("google_secret_manager_secret", "id"): f"projects/{project}/secrets/{config.get('secret_id')}",
        ("google_redis_instance", "host"): "10.9.0.3",
        ("google_redis_instance", "port"): 6379,
    }
    plain = {"string": f"{type_name}.{name}", "number": 1, "bool": False}
    if isinstance(type_, list):
        return told.get((type_name, name), {} if type_[0] == "map" else [])
    return told.get((type_name, name), plain.get(type_))


# Each method of the service: how the stand-in answers, and to what.
METHODS = {
    "GetSchema": (Provider.get_schema, messages.Empty),
    "PrepareProviderConfig": (Provider.prepare, messages.Config),
    "ValidateResourceTypeConfig": (Provider.nothing_to_say, messages.Typed),
    "ValidateDataSourceConfig": (Provider.nothing_to_say, messages.Typed),
    "ValidateEphemeralResourceConfig": (Provider.nothing_to_say, messages.Typed),
    "Configure": (Provider.nothing_to_say, messages.Empty),
    "UpgradeResourceState": (Provider.upgrade, messages.Upgrade),
    "ReadResource": (Provider.read, messages.Plan),
    "PlanResourceChange": (Provider.plan, messages.Plan),
    "ApplyResourceChange": (Provider.apply, messages.Apply),
    "ReadDataSource": (Provider.read_data, messages.Typed),
    "OpenEphemeralResource": (Provider.open, messages.Typed),
    "CloseEphemeralResource": (Provider.nothing_to_say, messages.Empty),
    "Stop": (Provider.nothing_to_say, messages.Empty),
}


def handler(provider: Provider, name: str) -> grpc.RpcMethodHandler:
    answer, request = METHODS[name]
    return grpc.unary_unary_rpc_method_handler(
        lambda message, _context: answer(provider, message),
        request_deserializer=request.deserialize,
        response_serializer=lambda message: type(message).serialize(message),
    )


@contextmanager
def serving(provider: Provider) -> Iterator[str]:
    """The address of a running provider."""
    server = grpc.server(ThreadPoolExecutor(8))
    handlers = {name: handler(provider, name) for name in METHODS}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("tfplugin5.Provider", handlers)])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


@contextmanager
def standing_in(google: Provider, randoms: Provider) -> Iterator[str]:
    """Both run. Yields the value of TF_REATTACH_PROVIDERS that makes Terraform use them and no other."""
    with serving(google) as first, serving(randoms) as second:
        yield json.dumps(
            {
                f"registry.terraform.io/hashicorp/{name}": {
                    "Protocol": "grpc",
                    "ProtocolVersion": 5,
                    "Pid": os.getpid(),
                    "Test": True,
                    "Addr": {"Network": "tcp", "String": address},
                }
                for name, address in (("google", first), ("random", second))
            }
        )
