"""The header Idempotency-Key: the same request, sent again with the same key, has one effect and one answer."""

from typing import Annotated

from litestar.params import HeaderParameter

from api.errors import ApiError
from api.models.fields import TEXT

MAX_CHARACTERS = 255

_Header = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        required=False,
        description=(
            "Chosen anew for each request, such as a UUID. The same request with the same key gets the first answer "
            "again, for 24 hours, and does nothing; another request of the same thinker with it is refused. A request "
            "that was refused keeps no key."
        ),
        schema_extra=TEXT | {"max_length": MAX_CHARACTERS},
    ),
]


def read_key(header: _Header = None) -> str | None:
    """The request's key, for the SQL function of the route; an empty one counts as none.

    Refuses: idempotency_key_invalid, as SQL does, on routes too that need not ask it.
    """
    if header and len(header) > MAX_CHARACTERS:
        raise ApiError("idempotency_key_invalid")
    return header or None
