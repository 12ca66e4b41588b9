"""The base of requests and responses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ModelWrapValidatorHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from api.errors import ApiError
from api.gateway import Row
from api.legacy import javascript

T = TypeVar("T")

FALSY_VALUES: list[JsonValue] = ["", 0, False, None]
FALSY: JsonDict = {"enum": FALSY_VALUES}
TRUTHY: JsonDict = {"minLength": 1, "not": {"enum": [0, False, None]}}


class ApiModel(BaseModel):
    """A JSON object; its field names are in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The model of a row, whose keys are the Python names of the fields."""
        return cls.model_validate(row, by_name=True, by_alias=False)


@dataclass(frozen=True)
class Required:
    """Marks a field that must be sent; `code` is the error of a request without it."""

    code: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of the type, without falsy values."""
        return handler(schema) | TRUTHY


class RequestModel(ApiModel):
    """A request's body. A field that is falsy in JavaScript counts as missing, except in `zero_counts`."""

    zero_counts: ClassVar[frozenset[str]] = frozenset()

    _required: ClassVar[dict[str, str]]
    """The codes of the fields that must be sent, by their names in JSON."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Note the fields that must be sent."""
        cls._required = {
            field.alias or name: mark.code
            for name, field in cls.model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Required)
        }

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, body: object, read: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(body, dict):
            raise ApiError("invalid_json")
        sent = {key: value for key, value in body.items() if key in cls.zero_counts or javascript.truthy(value)}
        cls.check_required(sent)
        try:
            return read(sent)
        except ApiError as error:
            # the validators know a field by its Python name
            aliases = {name: field.alias or name for name, field in cls.model_fields.items()}
            raise ApiError(error.code, aliases.get(error.detail, error.detail)) from None

    @classmethod
    def check_required(cls, sent: Mapping[str, object]) -> None:
        """Raise ApiError for the first field that is required and was not sent, before any value is read."""
        for name, code in cls._required.items():
            if name not in sent:
                raise ApiError(code)


def any_required(*names: str) -> JsonDict:
    """For a model's `json_schema_extra`: at least one of these fields must be sent."""
    return {"anyOf": [{"required": [name], "properties": {name: dict(TRUTHY)}} for name in names]}


def required(value: T | None, code: str) -> T:
    """The value. Raises ApiError with the code where it is missing."""
    if value is None:
        raise ApiError(code)
    return value
