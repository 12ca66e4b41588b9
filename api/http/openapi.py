"""The OpenAPI document: request bodies as Pydantic describes them, and the errors of each route."""

from collections.abc import Sequence
from inspect import isclass
from typing import TYPE_CHECKING, Any, Literal

from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from pydantic import BaseModel, RootModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from api.errors import ApiError, Language
from api.models import RequestModel

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator


class RequestSchemas(OpenAPISchemaPlugin):
    """Litestar's own reading of a model knows nothing of what its validators accept."""

    @staticmethod
    def is_plugin_supported_type(value: object) -> bool:
        """The models of request bodies."""
        return isclass(value) and issubclass(value, (RequestModel, RootModel))

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: "SchemaCreator") -> Schema:
        """The component of the model."""
        schema = schema_creator.schema_registry.get_schema_for_field_definition(field_definition)
        attributes = Schema.field_aliases()
        described: dict[str, Any] = field_definition.annotation.model_json_schema(schema_generator=_Plain)
        for keyword, value in described.items():
            setattr(schema, attributes.get(keyword, keyword), value)
        return schema


class _Plain(GenerateJsonSchema):
    """Without titles and defaults of fields, which repeat a name and say null."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


class ErrorBody(BaseModel):
    """The body of every error."""

    ok: Literal[False] = False
    error: str


_ANY_ROUTE = ("database_away", "busy", "outcome_unknown")
_ANY_CALLER = ("not_signed_in", "not_yourself", "foreign_origin", "token_keys_away")
_ANY_BODY = ("invalid_json", "value_invalid", "text_expected", "json_unreasonable", "too_large", "unsupported_encoding")

ANY_KEY = ("idempotency_key_invalid", "request_in_progress", "idempotency_key_reused")
"""The codes of a request with an Idempotency-Key."""


def error_responses(
    *codes: str, language: Language = "de", body: bool = False, is_open: bool = False
) -> dict[int, ResponseSpec]:
    """The error responses of a route: these codes, and the codes that any route can answer with.

    `body` adds the codes of a JSON body and of an Idempotency-Key; `is_open` leaves out the codes of authentication.
    """
    sentences: dict[int, list[str]] = {} if is_open else {401: ["invalid api key", "invalid token"]}
    callers = ("foreign_origin",) if is_open else _ANY_CALLER
    names: Sequence[str] = (*((*_ANY_BODY, *ANY_KEY) if body else ()), *codes, *callers, *_ANY_ROUTE)
    for name in names:
        error = ApiError(name, "…")
        sentences.setdefault(error.status, []).append(error.message(language))
    return {
        status: ResponseSpec(ErrorBody, description="; ".join(texts), generate_examples=False)
        for status, texts in sorted(sentences.items())
    }
