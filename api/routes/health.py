"""Health, /health: for load balancers and monitors."""

from litestar import get
from litestar.datastructures import State
from pydantic import BaseModel

from api.errors import ApiError
from api.gateway.shares import Shares
from api.http.openapi import error_responses


class Health(BaseModel):
    """The server and its database answer, and requests can be carried out."""

    ok: bool = True


@get(
    "/health",
    security=[{}],
    opt={"language": "en"},
    responses=error_responses(language="en", is_open=True),
    tags=["health"],
)
async def health(state: State) -> Health:
    """200 only when the database answers and can be written."""
    shares: Shares = state.shares
    if not await shares.ping():
        raise ApiError("database_read_only")
    return Health()
