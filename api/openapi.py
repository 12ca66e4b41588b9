"""The description of request bodies: JSON Schema as Pydantic writes it, from the types that read them."""

from inspect import isclass
from typing import TYPE_CHECKING, Any

from litestar.openapi.spec import Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from pydantic import RootModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from api.legacy.shapes import RequestShape

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator


class RequestSchemas(OpenAPISchemaPlugin):
    """Litestar's own reading of a model knows nothing of what its validators accept."""

    @staticmethod
    def is_plugin_supported_type(value: object) -> bool:
        """The models of request bodies."""
        return isclass(value) and issubclass(value, (RequestShape, RootModel))

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
