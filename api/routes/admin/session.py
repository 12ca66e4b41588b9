"""The admin session of a browser, /api/admin/session: an operator signs in once (docs/sessions.md)."""

from uuid import uuid4

from litestar import Response, Router, delete, get, put
from litestar.datastructures import State
from litestar.params import JSONBody
from pydantic import ConfigDict, Field

from api.actor import SERVER, Actor
from api.errors import ApiError
from api.http.admin_sessions import AdminSession, admin_sessions_of
from api.http.body import MAX_SMALL_BODY_BYTES, PortalRequest
from api.http.callers import is_key
from api.http.openapi import ANY_BODY, error_responses
from api.http.rate_limit import at_most
from api.models.base import ApiModel, RequestModel, any_required, required
from api.models.fields import Text
from api.tokens import Tokens


class SignInRequest(RequestModel):
    """The server's API key, or an admin's token."""

    model_config = ConfigDict(json_schema_extra=any_required("key", "token"))

    key: Text | None = None
    token: Text | None = None


class SignedIn(ApiModel):
    """Whether the browser is signed in."""

    ok: bool = True
    signed_in: bool = Field(description="False also on a server without a key, where nobody needs to sign in.")


@get(
    "/session",
    middleware=[at_most(300, "admin/session/get")],
    responses=error_responses("rate_limited", language="en", is_open=True),
)
async def read_session(request: PortalRequest, state: State) -> SignedIn:
    """Whether the browser has an admin session that counts."""
    sessions = admin_sessions_of(state)
    is_known = sessions is not None and sessions.read(request) is not None
    return SignedIn(signed_in=is_known and request.user is not None)


@put(
    "/session",
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    middleware=[at_most(10, "admin/session")],
    responses=error_responses(
        *ANY_BODY,
        "proof_required",
        "key_invalid",
        "token_invalid",
        "session_ended",
        "not_an_admin",
        "token_keys_away",
        "rate_limited",
        language="en",
        is_open=True,
    ),
)
async def sign_in(data: JSONBody[SignInRequest], request: PortalRequest, state: State) -> Response[SignedIn]:
    """Begins an admin session of 12 hours, whose cookie no script can read.

    It counts like the key, or for the admin of the token, on the routes below /api/admin, /api/autofix and
    /api/presence/debug, in requests of pages of this server.
    """
    token = required(data.token, "proof_required").strip() if data.key is None else None
    sessions = admin_sessions_of(state)
    if sessions is None:
        return Response(SignedIn(signed_in=False))
    actor = await _proven(data.key or "", token, state)
    session = AdminSession(uuid4(), actor)
    try:
        await request.calls.call("require_admin_session", actor, session_id=session.id)
    except ApiError as error:
        # the browser session of the token, which need not be that of this browser
        raise ApiError("token_invalid") if error.code == "session_ended" else error from None
    return _answer(sessions.begin(request, session), signed_in=True)


@delete(
    "/session",
    status_code=200,
    middleware=[at_most(300, "admin/session/delete")],
    responses=error_responses("not_a_server", "rate_limited", language="en", is_open=True),
)
async def sign_out(request: PortalRequest, state: State) -> Response[SignedIn]:
    """Ends the admin session of the browser at once, wherever its cookie was copied."""
    sessions = admin_sessions_of(state)
    if sessions is None:
        return Response(SignedIn(signed_in=False))
    session = sessions.read(request)
    if session is not None:
        await request.calls.call("end_session", SERVER, session_id=session.id)
    return _answer(sessions.delete(request), signed_in=False)


async def _proven(key: str, token: str | None, state: State) -> Actor:
    """The server for its key, else the thinker of the token.

    Raises ApiError: key_invalid, token_invalid, token_keys_away.
    """
    if token is None:
        if not is_key(key.encode(), state.settings):
            raise ApiError("key_invalid")
        return SERVER
    tokens: Tokens = state.tokens
    actor = await tokens.read(token)
    if actor is None:
        raise ApiError("token_invalid")
    return actor


def _answer(cookie: str, *, signed_in: bool) -> Response[SignedIn]:
    return Response(SignedIn(signed_in=signed_in), headers={"set-cookie": cookie, "cache-control": "no-store"})


router = Router(
    "/api/admin",
    route_handlers=[read_session, sign_in, sign_out],
    opt={"language": "en", "admin": True, "open": True},
    security=[{}],
    tags=["admin"],
)
