"""Pages of lists (docs/compatibility.md, "Lists"): `limit` and `after` of a request, two headers of its answer."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from api.gateway import Row
from api.http.answers import answer
from api.http.parameters import Limit, read_limit
from api.models.fields import TEXT

T = TypeVar("T")

MAX_ROWS = 1000

_LIMIT, _NEXT = "List-Limit", "List-Next"

PAGE_HEADERS = (
    ResponseHeader(
        _LIMIT, value=str(MAX_ROWS), documentation_only=True, description="How many rows this answer has at most."
    ),
    ResponseHeader(
        _NEXT,
        value="",
        documentation_only=True,
        description="Only if the list goes on: the value of the parameter `after` for its next page.",
    ),
)
"""For `response_headers` of a route whose answer is a page."""

_After = Annotated[
    str | None,
    QueryParameter(
        name="after",
        required=False,
        description=f"Continues a list: the header `{_NEXT}` of the page before.",
        schema_extra=TEXT,
    ),
]


class Page:
    """What a request asks of a list."""

    def __init__(self, limit: str | None, after: str | None) -> None:
        """Take the query parameters as they were sent."""
        self._sent = limit
        self._after = after or None
        self._limit = MAX_ROWS

    def parameters(self, default: int = MAX_ROWS, maximum: int = MAX_ROWS) -> dict[str, object]:
        """The parameters of the list's SQL function. Raises ApiError: limit_invalid."""
        self._limit = read_limit(self._sent, default, maximum)
        return {"max_rows": self._limit, "after": self._after}

    def answer(self, model: type[T], rows: Sequence[Row], **values: object) -> Response[T]:
        """The answer of this form, made of these rows; a header says where the list goes on."""
        after = rows[-1].get("next") if rows else None
        headers = {_LIMIT: str(self._limit)} | ({_NEXT: after} if after else {})
        return answer(model, headers, **values)


def read_page(limit: Limit = None, after: _After = None) -> Page:
    """The page that a request asks for; the first one, as long as may be, if it asks for none."""
    return Page(limit, after)


InjectedPage = NamedDependency[Page]
"""See `read_page`."""

EXPOSED = [_LIMIT, _NEXT]
"""For pages of other origins: browsers show their scripts no other header."""
