"""The messages of Terraform's plugin protocol, version 5, as far as the stand-in needs them.

https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol
A field that is not named here is ignored when it arrives.
"""

import proto


class DynamicValue(proto.Message):
    """A value of Terraform's type system."""

    msgpack = proto.Field(proto.BYTES, number=1)
    json = proto.Field(proto.BYTES, number=2)


class Diagnostic(proto.Message):
    """An error; severity is 1."""

    severity = proto.Field(proto.INT32, number=1)
    summary = proto.Field(proto.STRING, number=2)
    detail = proto.Field(proto.STRING, number=3)


class Attribute(proto.Message):
    """An argument, or what the provider tells."""

    name = proto.Field(proto.STRING, number=1)
    type_ = proto.Field(proto.BYTES, number=2)
    required = proto.Field(proto.BOOL, number=4)
    optional = proto.Field(proto.BOOL, number=5)
    computed = proto.Field(proto.BOOL, number=6)
    write_only = proto.Field(proto.BOOL, number=10)


class NestedBlock(proto.Message):
    """A block within a block."""

    type_name = proto.Field(proto.STRING, number=1)
    block = proto.Field("Block", number=2)
    nesting = proto.Field(proto.INT32, number=3)
    min_items = proto.Field(proto.INT64, number=4)
    max_items = proto.Field(proto.INT64, number=5)


class Block(proto.Message):
    """Attributes and blocks."""

    attributes = proto.RepeatedField(Attribute, number=2)
    block_types = proto.RepeatedField(NestedBlock, number=3)


class Schema(proto.Message):
    """Of the provider, or of one type."""

    block = proto.Field(Block, number=2)


class Schemas(proto.Message):
    """What a provider has."""

    provider = proto.Field(Schema, number=1)
    resource_schemas = proto.MapField(proto.STRING, proto.MESSAGE, number=2, message=Schema)
    data_source_schemas = proto.MapField(proto.STRING, proto.MESSAGE, number=3, message=Schema)
    ephemeral_resource_schemas = proto.MapField(proto.STRING, proto.MESSAGE, number=8, message=Schema)


class Empty(proto.Message):
    """Nothing, or nothing of interest."""


class Config(proto.Message):
    """PrepareProviderConfig, both ways."""

    config = proto.Field(DynamicValue, number=1)


class Typed(proto.Message):
    """A type's name and a configuration: to validate, to read, to open."""

    type_name = proto.Field(proto.STRING, number=1)
    config = proto.Field(DynamicValue, number=2)


class Diagnostics(proto.Message):
    """The answer of what validates."""

    diagnostics = proto.RepeatedField(Diagnostic, number=1)


class RawState(proto.Message):
    """A resource as the state has it."""

    json = proto.Field(proto.BYTES, number=1)


class Upgrade(proto.Message):
    """UpgradeResourceState."""

    type_name = proto.Field(proto.STRING, number=1)
    raw_state = proto.Field(RawState, number=3)


class State(proto.Message):
    """The state of a resource or a data source, as an answer."""

    state = proto.Field(DynamicValue, number=1)


class Plan(proto.Message):
    """PlanResourceChange."""

    type_name = proto.Field(proto.STRING, number=1)
    prior_state = proto.Field(DynamicValue, number=2)
    proposed_new_state = proto.Field(DynamicValue, number=3)


class Apply(proto.Message):
    """ApplyResourceChange."""

    type_name = proto.Field(proto.STRING, number=1)
    planned_state = proto.Field(DynamicValue, number=3)
    config = proto.Field(DynamicValue, number=4)


class Opened(proto.Message):
    """What an ephemeral resource is."""

    result = proto.Field(DynamicValue, number=3)
