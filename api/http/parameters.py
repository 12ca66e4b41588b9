"""Query and path parameters that several routes take."""

import re
from typing import Annotated

from litestar.openapi.spec import OpenAPIType, Schema
from litestar.params import PathParameter, QueryParameter

from api.errors import ApiError
from api.models.fields import TEXT

TextPath = Annotated[str, PathParameter(schema_extra=TEXT | {"min_length": 1})]

_LIMIT = {
    "one_of": [
        Schema(type=OpenAPIType.INTEGER, minimum=-999_999_999, maximum=999_999_999),
        Schema(type=OpenAPIType.STRING, const=""),
    ]
}

Limit = Annotated[
    str | None,
    QueryParameter(description="How many rows at most; more than the route allows count as that.", schema_extra=_LIMIT),
]
"""How many rows a list may have; see `read_limit`."""


def text_query(name: str) -> QueryParameter:
    """A query parameter that is a text."""
    return QueryParameter(name=name, schema_extra=TEXT)


def read_limit(limit: str | None, default: int, maximum: int) -> int:
    """The limit as a number from 1 to the maximum. Raises ApiError: limit_invalid."""
    if limit and not re.fullmatch(r"[+-]?\d{1,9}", limit, re.ASCII):
        raise ApiError("limit_invalid")
    return max(1, min(int(limit or default), maximum))
