"""The OpenAPI document: request bodies as Pydantic describes them, and the errors of each route."""

from inspect import isclass
from typing import TYPE_CHECKING, Any

from litestar import MediaType, Response, Router
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, Reference, Schema, SecurityScheme
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from pydantic import RootModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from api.errors import ApiError, Language
from api.http.callers import TOKEN_COOKIE
from api.http.errors import ErrorBody
from api.http.sessions import SESSION_COOKIE
from api.models.base import RequestModel
from api.settings import Settings

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator


_DESCRIPTION = (
    "The legacy /api of the portal, answered from Postgres. As in JavaScript, an empty text, 0, false "
    "and null count as missing. No text, wherever it stands, may hold a NUL (U+0000)."
)

_SECURITY_SCHEMES: dict[str, SecurityScheme | Reference] = {
    "apiKey": SecurityScheme(type="apiKey", name="X-TS-APIKEY", security_scheme_in="header"),
    "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
    "cookie": SecurityScheme(type="apiKey", name=TOKEN_COOKIE, security_scheme_in="cookie"),
    "session": SecurityScheme(type="apiKey", name=SESSION_COOKIE, security_scheme_in="cookie"),
}


def openapi_config(settings: Settings) -> OpenAPIConfig:
    """The OpenAPI document at /schema and /schema/openapi.json."""
    # any one of these authenticates a request
    security: list[dict[str, list[str]]] = [{scheme: []} for scheme in _SECURITY_SCHEMES]
    if not settings.ts_api_key:
        # without a key the server answers to this machine only, and trusts every request
        security.append({})
    return OpenAPIConfig(
        title="TogetherSystems portal",
        version="1",
        description=_DESCRIPTION,
        use_handler_docstrings=True,
        # no page to read it: those of Litestar load scripts of other servers, into the origin of /admin
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        components=Components(security_schemes=_SECURITY_SCHEMES),
        security=security,
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_not_found_as_json),
    )


def _not_found_as_json(response: Response[Any]) -> Response[Any]:
    """Replace Litestar's HTML page for an unknown path under /schema."""
    if response.status_code != 404:
        return response
    return Response(ErrorBody(error="not found").model_dump(), status_code=404, media_type=MediaType.JSON)


class RequestSchemas(OpenAPISchemaPlugin):
    """Takes the JSON Schema of a request's model from Pydantic, which knows what its validators accept."""

    @staticmethod
    def is_plugin_supported_type(value: object) -> bool:
        """Whether it is the model of a request's body."""
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
    """Leaves out the titles of fields, which repeat their names, and the defaults, which are all null."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


_ANY_ROUTE = ("database_away", "database_read_only", "busy", "outcome_unknown")
_ANY_CALLER = (
    "not_signed_in",
    "session_required",
    "session_ended",
    "not_yourself",
    "uid_invalid",
    "too_many_claims",
    "foreign_origin",
    "token_keys_away",
)
ANY_BODY = (
    "invalid_json",
    "value_invalid",
    "text_expected",
    "json_unreasonable",
    "too_large",
    "body_timeout",
    "unsupported_encoding",
)
"""The codes of a JSON body."""

ANY_KEY = ("idempotency_key_invalid", "request_in_progress", "idempotency_key_reused", "daily_limit_reached")
"""The codes of a request with an Idempotency-Key."""


def error_responses(
    *codes: str, language: Language = "de", body: bool = False, is_open: bool = False
) -> dict[int, ResponseSpec]:
    """The error responses of a route: these codes, and the codes that any route can answer with.

    `body` adds the codes of a JSON body and of an Idempotency-Key; `is_open` leaves out the codes of authentication.
    """
    general = (*ANY_BODY, *ANY_KEY) if body else ()
    callers = ("foreign_origin",) if is_open else _ANY_CALLER
    messages: dict[int, list[str]] = {} if is_open else {401: ["invalid api key", "invalid token"]}
    for code in (*general, *codes, *callers, *_ANY_ROUTE):
        error = ApiError(code, "…")
        messages.setdefault(error.status, []).append(error.message(language))
    return {
        status: ResponseSpec(ErrorBody, description="; ".join(dict.fromkeys(texts)), generate_examples=False)
        for status, texts in sorted(messages.items())
    }
