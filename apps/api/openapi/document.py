"""Makes the OpenAPI document from what the code says. Development only: production serves the file.

drf-spectacular maps serializers to schemas and puts the document together. What each operation is comes
from apps.api.operations, and the shapes of answers from TypedDicts, which mypy holds equal to the code.
"""

import json
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, resolve_type_hint
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.views import APIView

from apps.api.authentication import BearerAuthentication
from apps.api.exceptions import HttpErrorOut, HTTPValidationError
from apps.api.fields import NAME, OLD_NAMES, Input, Patch, wire_name
from apps.api.operations import OLD_PATHS, OPERATIONS, Operation
from apps.api.urls import VIEWS

SETTINGS = {
    "TITLE": "Waybill",
    "DESCRIPTION": "Waybill's API: that of the open Svix server, for the official Svix SDKs.",
    "VERSION": "1",
    "COMPONENT_SPLIT_PATCH": False,  # a PATCH has an Input of its own
    "ENFORCE_NON_BLANK_FIELDS": True,
    "ENABLE_LIST_MECHANICS_ON_NON_2XX": False,
    "POSTPROCESSING_HOOKS": [],
}
METHODS = ("get", "post", "put", "patch", "delete")
IDEMPOTENCY_KEY = "The same POST with the same key, within 12 hours, has no second effect."
MEANINGS: dict[int | str, str] = {
    200: "Done.",
    201: "Created.",
    202: "Accepted: it is stored, and done soon.",
    204: "Done; there is no body.",
    400: "The request can not be understood, names another host, or would go over a limit.",
    401: "No valid credential.",
    403: "The credential is valid, and may not do that.",
    404: "There is no such thing, or it is another organization's.",
    409: "It conflicts with what is there.",
    413: "The body, or the payload in it, is too large.",
    415: "The body is not application/json.",
    422: "Something in the request is invalid: `loc` says what.",
    "5XX": "503: a store or the queue does not answer; try again. 500: unexpected.",
}


def text() -> str:
    """The document, as it is in openapi.json."""
    with patched_settings(SETTINGS):
        document = Generator().get_schema(public=True)  # type: ignore[no-untyped-call]
        return json.dumps(document, indent=1, sort_keys=True) + "\n"


class Generator(SchemaGenerator):
    """Asks apps.api.urls for the operations that work; what is planned answers 501 and is not there."""

    def _initialise_endpoints(self) -> None:
        self.endpoints: Any = [
            (f"/{path}", path, method.upper(), view.as_view())
            for path, view in sorted(VIEWS.items())
            for method in METHODS
            if hasattr(view, method)
        ]

    def create_view(self, callback: Any, method: str, request: Any = None) -> APIView:
        view: APIView = super().create_view(callback, method, request)  # type: ignore[no-untyped-call]
        self._set_schema_to_view(view, StatedSchema())  # type: ignore[no-untyped-call]
        return view


class StatedSchema(AutoSchema):
    """An operation as apps.api.operations states it."""

    @property
    def stated(self) -> Operation:
        return OPERATIONS[getattr(type(self.view), self.method.lower())]

    @property
    def is_open(self) -> bool:
        """Whether it asks for no credential."""
        return not self.view.permission_classes

    def get_operation_id(self) -> str:
        return OLD_PATHS.get(self.path[1:], self.stated.id)

    def get_summary(self) -> str:
        """v1.endpoint.get-secret is "Get secret", patch_endpoint is "Patch endpoint"."""
        return self.stated.id.rpartition(".")[2].replace("-", " ").replace("_", " ").capitalize()

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular's own
        """The method's docstring; the class's own is the fallback, inherited ones say nothing of it."""
        method = getattr(type(self.view), self.method.lower())
        return " ".join((method.__doc__ or type(self.view).__doc__ or "").split())

    def get_tags(self) -> list[str]:
        """Of v1.event-type.list and of patch_event_type: Event Type."""
        _, _, rest = self.stated.id.partition("v1.")
        resource = rest.partition(".")[0] or self.stated.id.partition("_")[2]
        return [resource.replace("-", " ").replace("_", " ").title()]

    def is_deprecated(self) -> bool:
        return self.path[1:] in OLD_PATHS

    def get_override_parameters(self) -> list[Any]:
        return [*self._query(), *self._path(), *self._headers()]

    def get_request_serializer(self) -> Any:
        return self.stated.body

    def get_response_serializers(self) -> Any:
        answers: dict[Any, Any] = {**self.stated.answers, **self._errors(), "5XX": HttpErrorOut}
        return {
            str(status): OpenApiResponse(self._shape(shape) if shape else None, MEANINGS[status])
            for status, shape in answers.items()
        }

    def _errors(self) -> dict[int, Any]:
        """What every operation of this kind may answer, and what this one states."""
        follows = {
            400: True,
            401: not self.is_open,
            403: not self.is_open,
            404: "{" in self.path,
            413: self.stated.body,
            415: self.stated.body,
            422: self.stated.body or self.stated.query,
        }
        statuses = {status for status, applies in follows.items() if applies} | set(self.stated.errors)
        return {status: HTTPValidationError if status == 422 else HttpErrorOut for status in sorted(statuses)}

    def _query(self) -> list[OpenApiParameter]:
        return [
            OpenApiParameter(one.name, dict(one.schema), description=one.description, required=one.required)
            for one in self.stated.query
            if f"{{{one.name}}}" not in self.path  # an old path says in itself what a query says now
        ]

    def _path(self) -> list[OpenApiParameter]:
        names = [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
        schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
        return [OpenApiParameter(name, schema, OpenApiParameter.PATH) for name in names]

    def _headers(self) -> list[OpenApiParameter]:
        if self.method != "POST":
            return []
        return [
            OpenApiParameter("idempotency-key", str, OpenApiParameter.HEADER, description=IDEMPOTENCY_KEY)
        ]

    def _shape(self, hint: Any) -> dict[str, Any]:
        """The schema of a type; a TypedDict becomes a component of its own."""
        if is_typeddict(get_origin(hint) or hint):
            return self._component(hint)
        arguments = get_args(hint)
        if get_origin(hint) is list:
            return {"type": "array", "items": self._shape(arguments[0])}
        if type(None) in arguments and len(arguments) == 2:
            (inner,) = (self._shape(one) for one in arguments if one is not type(None))
            return {"allOf": [inner], "nullable": True} if "$ref" in inner else {**inner, "nullable": True}
        schema: dict[str, Any] = resolve_type_hint(hint)
        return schema

    def _component(self, hint: Any) -> dict[str, Any]:
        """ListResponse[ApplicationOut] is called ListResponse_ApplicationOut_, as in Svix's description."""
        kind, arguments = get_origin(hint) or hint, get_args(hint)
        name = "_".join([kind.__name__, *(one.__name__ for one in arguments), *(arguments and [""])])
        component = ResolvedComponent(name, ResolvedComponent.SCHEMA, object=hint)
        if component not in self.registry:
            self.registry.register(component)
            component.schema = self._object(kind, arguments)
        ref: dict[str, Any] = component.ref
        return ref

    def _object(self, kind: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
        hints = get_type_hints(kind)
        if arguments:  # a generic one: its type parameter is only ever all of a hint's parameters
            hints = {
                key: hint[arguments] if get_args(hint) == kind.__type_params__ else hint
                for key, hint in hints.items()
            }
        schema = {"type": "object", "properties": {key: self._shape(hint) for key, hint in hints.items()}}
        required = sorted(kind.__required_keys__)
        return {**schema, "required": required} if required else schema


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = BearerAuthentication
    name = "HTTPBearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "description": "An API key, or an application's token."}


class InputSchema(OpenApiSerializerExtension):
    """An Input under the names of the wire, with those of SDKs 1.x beside them."""

    target_class = Input
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        named = {wire_name(name): inner for name, inner in schema.get("properties", {}).items()}
        old = {
            OLD_NAMES[name]: inner | {"deprecated": True}
            for name, inner in named.items()
            if name in OLD_NAMES
        }
        schema["properties"] = named | old
        required = schema.pop("required", [])
        if required and not isinstance(self.target, Patch):
            schema["required"] = sorted(map(wire_name, required))
        return schema


class FieldSchema(OpenApiSerializerFieldExtension):
    """A field, with what its class says of itself beside what drf-spectacular sees."""

    target_class = serializers.Field
    match_subclasses = True

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        return {**schema, **getattr(self.target, "json_schema", {})}
