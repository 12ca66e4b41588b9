"""The base of requests and responses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, TypeAlias, TypeVar, Union, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    model_validator,
)
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
    def values(cls, row: Row) -> Row:
        """The values of the fields by their Python names: the columns of the row, and what they are called here."""
        return row

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The model of a row."""
        return cls.model_validate(cls.values(row), by_name=True, by_alias=False)

    @classmethod
    def json_of(cls, row: Row) -> dict[str, object]:
        """The model of a row as JSON, for lists: SQL knows the types of its columns, and each check takes its time."""
        form = _form(cls)
        values = cls.values(row)
        made = dict(zip(form.names, form.read(form.defaults | values if form.defaults else values), strict=True))
        for name, convert in form.conversions:
            made[name] = convert(made[name])
        return made


Conversion: TypeAlias = Callable[[Any], object]


class _Form:
    """How a row becomes the JSON of a model.

    It has the names of the fields in JSON, reads their values in this order, and converts some of them.
    """

    def __init__(self, model: type[ApiModel]) -> None:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        self.names = list(fields)
        self.defaults = {name: field.default for name, field in model.model_fields.items() if not field.is_required()}
        self.read: Callable[[Row], tuple[object, ...]] = itemgetter(*model.model_fields)
        found = [(name, _conversion(field.annotation, *field.metadata)) for name, field in fields.items()]
        self.conversions = [(name, convert) for name, convert in found if convert]


_form = cache(_Form)


def _conversion(*annotations: object) -> Conversion | None:
    """What a type does with a value that SQL returns, if anything."""
    for part in annotations:
        if isinstance(part, BeforeValidator):
            return cast(Conversion, part.func)
        if part is float:
            return _float
        if get_origin(part) in (Annotated, Union, UnionType) and (found := _conversion(*get_args(part))):
            return found
    return None


def _float(number: float | None) -> float | None:
    return None if number is None else float(number)


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
