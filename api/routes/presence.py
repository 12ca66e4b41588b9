"""Presence, /api/presence (docs/compatibility.md, "Presence")."""

from dataclasses import replace
from typing import Annotated, Literal

from litestar import Response, Router, get, post
from litestar.datastructures import Cookie, State
from litestar.params import JSONBody
from pydantic import BaseModel, ConfigDict, Field

from api.actor import SERVER, Actor
from api.errors import ApiError
from api.gateway import Row
from api.http.answers import answer
from api.http.body import MAX_SMALL_BODY_BYTES, PortalRequest
from api.http.callers import TOKEN_COOKIE, TrustedCaller, limited_client
from api.http.cookies import cookie_name
from api.http.dependencies import IdempotencyKey
from api.http.idempotency import REPLAYED
from api.http.openapi import error_responses
from api.http.pages import PAGE_HEADERS, InjectedPage
from api.http.proxies import is_https
from api.http.rate_limit import at_most
from api.http.sessions import BrowserSession
from api.legacy.presence_tokens import check_signature, thinker_uid
from api.models.base import FALSY, ApiModel, RequestModel, Required, any_required, required
from api.models.fields import Id, Text
from api.models.times import EpochMs, epoch_ms
from api.settings import Settings
from api.tokens import LIFETIME_SECONDS


class SnakeRequest(RequestModel):
    """A request whose field names are in snake case."""

    model_config = ConfigDict(alias_generator=None)


class VerifyRequest(SnakeRequest):
    """A token under one of three names; its optional signature is HMAC-SHA256 of `<token>.<ts>`, keyed by the token."""

    model_config = ConfigDict(json_schema_extra=any_required("token", "mot", "thinker_token"))

    token: Text | None = None
    mot: Text | None = None
    thinker_token: Text | None = None
    ts: object = None
    sig: object = None


class Verified(BaseModel):
    """The thinker of the token, and an access token for this API and the Data API."""

    ok: bool = True
    thinker_id: str
    pair_code: str | None
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int = Field(default=LIFETIME_SECONDS, description="Seconds.")


class HeartbeatRequest(SnakeRequest):
    """A missing field keeps its value. Any `status` but `online` counts as offline."""

    thinker_id: Annotated[Id, Required("thinker_required")]
    pair_code: Id | None = None
    status: Text | None = None


class Seen(BaseModel):
    """When the thinker was last seen, in epoch milliseconds."""

    ok: bool = True
    last_seen: EpochMs


class MatchRequest(SnakeRequest):
    """A thinker, and the pair code of the thinker to meet."""

    # without a pair code SQL is not asked, so that any id passes
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"properties": {"thinker_id": {"maxLength": 255}}}, {"properties": {"pair_code": FALSY}}]
        }
    )

    thinker_id: Annotated[Text, Required("thinker_required")]
    pair_code: Text | None = None


class Match(BaseModel):
    """The room of the pair, if there is one."""

    ok: bool = True
    room_id: str | None


class Session(ApiModel):
    """One thinker's presence; `last_seen` in epoch milliseconds."""

    model_config = ConfigDict(alias_generator=None)

    thinker_id: str
    pair_code: str | None
    status: str
    last_seen: EpochMs
    room_id: str | None

    @classmethod
    def values(cls, row: Row) -> Row:
        """The session, with its thinker's uid."""
        return row | {"thinker_id": row["thinker_uid"], "last_seen": row["last_seen_at"]}


class Sessions(BaseModel):
    """The presence of all thinkers, oldest first."""

    ok: bool = True
    count: int
    items: list[Session]


class CatalogEntry(BaseModel):
    """An external API that the portal offers as an example."""

    id: str
    name: str
    category: str
    base_url: str
    auth_type: str
    doc_url: str | None
    example_payload: dict[str, object]


class Catalog(BaseModel):
    """The catalog of external APIs."""

    ok: bool = True
    items: list[CatalogEntry]


@post(
    "/verify",
    status_code=200,
    response_headers=[REPLAYED],
    opt={"open": True},
    security=[{}],
    # outsiders may call it as often as they like, and reading a megabyte of JSON stops all others for a moment
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    middleware=[at_most(120, "presence/verify")],
    responses=error_responses(
        "token_required",
        "token_expired",
        "signature_invalid",
        "not_signed_in",
        "session_required",
        "session_ended",
        "not_a_server",
        "uid_invalid",
        "too_many_claims",
        "rate_limited",
        body=True,
        is_open=True,
    ),
)
async def verify(
    data: JSONBody[VerifyRequest],
    request: PortalRequest,
    state: State,
    idempotency_key: IdempotencyKey,
) -> Response[Verified]:
    """Answers the thinker of a token, who comes online the first time.

    The access token is also set as a cookie, which scripts cannot read. A browser session may act as the thinker from
    now on.
    """
    token = required(data.token or data.mot or data.thinker_token, "token_required")
    check_signature(token, data.ts, data.sig)
    session: BrowserSession | None = request.auth
    settings: Settings = state.settings
    own_session = None
    # each session is a thinker of its own
    if settings.is_shared(token):
        if session is None and not isinstance(request.user, TrustedCaller):
            raise ApiError("session_required")
        own_session = session.id if session else None
    actor = Actor("authenticated", thinker_uid(token, settings, own_session))
    row = await request.calls.call("verify_presence", actor, idempotency_key=idempotency_key)
    if session:
        await request.calls.call(
            "prove_thinker",
            SERVER,
            session_id=session.id,
            uid=actor.uid,
            client=limited_client(request),
            is_own=own_session is not None,
        )
        actor = replace(actor, session_id=session.id)
    access_token = state.tokens.issue(actor)
    return Response(
        Verified(thinker_id=row["thinker_uid"], pair_code=row["pair_code"], access_token=access_token),
        headers={"cache-control": "no-store"},
        cookies=[
            Cookie(
                key=cookie_name(request, TOKEN_COOKIE),
                value=access_token,
                max_age=LIFETIME_SECONDS,
                httponly=True,
                samesite="lax",
                secure=is_https(request),
            )
        ],
    )


@post(
    "/heartbeat",
    status_code=200,
    response_headers=[REPLAYED],
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    middleware=[at_most(300, "presence/heartbeat")],
    responses=error_responses("thinker_required", "uid_invalid", "pair_code_invalid", "rate_limited", body=True),
)
async def heartbeat(
    data: JSONBody[HeartbeatRequest], request: PortalRequest, idempotency_key: IdempotencyKey
) -> Response[Seen]:
    """Records that `thinker_id` is present."""
    row = await request.calls.call(
        "send_heartbeat",
        request.user.as_thinker(data.thinker_id),
        pair_code=data.pair_code,
        status=data.status,
        idempotency_key=idempotency_key,
    )
    return answer(Seen, last_seen=epoch_ms(row["last_seen_at"]))


@post(
    "/match",
    status_code=200,
    response_headers=[REPLAYED],
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    # a pair code can be guessed
    middleware=[at_most(300, "presence/match")],
    responses=error_responses("thinker_required", "uid_invalid", "rate_limited", body=True),
)
async def match(
    data: JSONBody[MatchRequest], request: PortalRequest, idempotency_key: IdempotencyKey
) -> Response[Match]:
    """The room that `thinker_id` shares with another thinker who is online with `pair_code`."""
    if data.pair_code is None:
        return answer(Match, room_id=None)
    row = await request.calls.call(
        "match_presence",
        request.user.as_thinker(data.thinker_id),
        pair_code=data.pair_code,
        idempotency_key=idempotency_key,
    )
    return answer(Match, room_id=row["room_id"])


@get(
    "/debug",
    opt={"admin": True},
    responses=error_responses("limit_invalid", "value_invalid", "not_an_admin"),
    response_headers=PAGE_HEADERS,
)
async def debug(request: PortalRequest, page: InjectedPage) -> Response[Sessions]:
    """The presence of all thinkers, without their tokens, which are not kept."""
    rows = await request.calls.call("list_presence", request.user.as_caller(), **page.parameters())
    return page.answer(Sessions, rows, count=len(rows), items=[Session.json_of(row) for row in rows])


@get("/catalog/apis", opt={"open": True}, security=[{}])
async def catalog() -> Catalog:
    """Three examples."""
    return CATALOG


CATALOG = Catalog(
    items=[
        CatalogEntry(
            id="doc-verify-example",
            name="Dokument-Verifikation (Beispiel)",
            category="verification",
            base_url="https://api.example.com/v1/documents",
            auth_type="bearer",
            doc_url="https://docs.example.com/doc-verify",
            example_payload={"file_id": "123", "mode": "basic"},
        ),
        CatalogEntry(
            id="ai-summary-example",
            name="KI-Textzusammenfassung (Beispiel)",
            category="ai",
            base_url="https://api.example.com/v1/summarize",
            auth_type="bearer",
            doc_url="https://docs.example.com/ai-summary",
            example_payload={"text": "...", "max_tokens": 256},
        ),
        CatalogEntry(
            id="webhook-generic",
            name="Eigenes Webhook-Backend",
            category="custom",
            base_url="https://deine-seite.tld/api/manifest/submit",
            auth_type="none",
            doc_url=None,
            example_payload={"source": "manifest-of-thinkers-offline", "version": 1, "posts": []},
        ),
    ]
)

router = Router("/api/presence", route_handlers=[verify, heartbeat, match, debug, catalog], tags=["presence"])
