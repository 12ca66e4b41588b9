"""Health, /health: for load balancers and monitors."""

from litestar import get
from pydantic import BaseModel

from api.actor import Actor
from api.http.dependencies import InjectedGateway
from api.http.openapi import error_responses


class Health(BaseModel):
    """The server and its database answer."""

    ok: bool = True


@get(
    "/health",
    security=[{}],
    opt={"language": "en"},
    responses=error_responses(language="en", is_open=True),
    tags=["health"],
)
async def health(gateway: InjectedGateway) -> Health:
    """200 only when the database answers."""
    await gateway.call("ping", Actor("anon"))
    return Health()
