"""The public keys with which others verify the tokens of this server, /.well-known/jwks.json."""

from litestar import Response, get
from litestar.datastructures import State


@get("/.well-known/jwks.json", include_in_schema=False)
async def jwks(state: State) -> Response[dict[str, list[dict[str, str]]]]:
    """The keys of JWT_KEY_FILE as a JSON Web Key Set; none without that setting."""
    return Response(state.tokens.jwks(), headers={"cache-control": "public, max-age=300"})
