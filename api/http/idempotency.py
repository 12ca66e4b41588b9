"""The header Idempotency-Key: a request that is repeated with its key has one effect, and the same response."""

from typing import Annotated, Any

from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter

from api.errors import ApiError
from api.gateway import REPLAYED_HEADER, replayed
from api.models.fields import TEXT

MAX_CHARACTERS = 255

_Header = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        required=False,
        description=(
            "A new text for each request, such as a UUID. The same request with the same key gets the first response "
            "again, for 24 hours, and has no other effect; a different request of the same thinker with it is an "
            "error. A request that failed does not use up its key."
        ),
        schema_extra=TEXT | {"max_length": MAX_CHARACTERS},
    ),
]


def read_key(header: _Header = None) -> str | None:
    """The request's key, for the SQL function of the route; None if it is missing or empty.

    Raises ApiError: idempotency_key_invalid, as SQL does, so that requests that SQL never sees get it too.
    """
    if header and len(header) > MAX_CHARACTERS:
        raise ApiError("idempotency_key_invalid")
    return header or None


REPLAYED = ResponseHeader(
    REPLAYED_HEADER,
    value="true",
    documentation_only=True,
    description="Only if this is the stored response of an earlier request with the same Idempotency-Key.",
)
"""For `response_headers` of the routes."""


async def mark_replayed(response: Response[Any]) -> Response[Any]:
    """Add the header to the response that SQL had stored."""
    # async, for Litestar would run it in a thread
    if replayed.get():
        response.headers[REPLAYED_HEADER] = "true"
    return response
