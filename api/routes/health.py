"""Health, /health: for load balancers and monitors."""

from litestar import get
from pydantic import BaseModel

from api.actor import Actor
from api.errors import ApiError
from api.http.dependencies import InjectedGateway
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
async def health(gateway: InjectedGateway) -> Health:
    """200 only when the database answers and can be written."""
    if not await gateway.call("ping", Actor("anon")):
        raise ApiError("database_read_only")
    return Health()
