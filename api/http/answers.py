"""Answers whose values are JSON already, as `ApiModel.json_of` makes it."""

from collections.abc import Mapping
from typing import TypeVar, cast

from litestar import Response

T = TypeVar("T")


def answer(model: type[T], headers: Mapping[str, str] | None = None, **values: object) -> Response[T]:
    """The answer of this form with these values."""
    return Response(cast(T, {"ok": True, **values}), headers=headers)
