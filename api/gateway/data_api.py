"""The gateway to a Supabase project: its Data API through Supabase's client, with a short-lived token of the actor."""

import logging
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from api.actor import Actor
from api.errors import ApiError
from api.gateway import REPLAYED_HEADER, Json, api_error, replayed
from api.settings import Settings
from api.tokens import Tokens

TOKEN_SECONDS = 60

MAX_UID_CHARACTERS = 255
"""Of SQL (`private.ensure_thinker`)."""

# PostgREST cannot connect, or its schema cache is not loaded
_AWAY = ("PGRST000", "PGRST002")
# it has no free connection
_BUSY = "PGRST003"
# it lost the connection during the call; it has no code for a database process that died, during the commit too
_NO_ANSWER = ("PGRST001", "PGRSTX00", "")
# it does not serve `public`, or knows no such function or table there
_NOT_MIGRATED = ("PGRST106", "PGRST202", "PGRST205")

# whatever else is answered comes from a gateway before PostgREST
_CODE_OF_POSTGREST = re.compile(r"|PGRST\w{3}|[0-9A-Z]{5}")

_log = logging.getLogger(__name__)
# httpx logs every request at INFO
logging.getLogger("httpx").setLevel(logging.WARNING)


class _Error(BaseModel):
    """The body of an error of PostgREST."""

    code: str
    message: str | None = None
    details: object = None


class DataApiGateway:
    """Calls functions as `POST /rest/v1/rpc/<function>`."""

    connections = 10
    """Those that PostgREST has to its database by default (`db-pool`)."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        """Take SUPABASE_URL and its key, and what signs the actors' tokens. `open` it before the first call."""
        assert settings.supabase_url is not None
        assert settings.supabase_anon_key is not None
        self._url = settings.supabase_url
        self._api_key = settings.supabase_anon_key.get_secret_value()
        self._tokens = tokens
        self._client: AsyncClient

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the client, whose connections all calls share. It signs nobody in and refreshes nothing."""
        timeout, hooks = httpx.Timeout(15, connect=3), {"response": [_require_result]}
        async with httpx.AsyncClient(timeout=timeout, event_hooks=hooks) as connections:
            options = AsyncClientOptions(httpx_client=connections, auto_refresh_token=False, persist_session=False)
            self._client = await acreate_client(self._url, self._api_key, options)
            yield

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Calls. PostgREST makes each request one transaction."""
        if len(actor.uid or "") > MAX_UID_CHARACTERS:
            raise ApiError("uid_invalid")  # the header with its token would be too long for the gateways between
        try:
            query = self._client.rpc(function, {name: _plain(value) for name, value in params.items()})
            # this request's own headers: the client's are shared by concurrent calls
            query.request.headers["Authorization"] = f"Bearer {self._tokens.issue(actor, TOKEN_SECONDS)}"
            response = await query.execute()
        except httpx.PoolTimeout as error:
            raise ApiError("busy") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            _log.warning("no connection: %r", error)
            raise ApiError("database_away") from error
        except httpx.RequestError as error:
            _log.warning("connection lost: %r", error)
            raise ApiError("outcome_unknown") from error
        except (ValueError, RecursionError) as error:
            raise ApiError("value_invalid", "text that is not Unicode, or nested too deep") from error
        return response.data


def _plain(value: object) -> object:
    """The parameter as JSON: a decimal as text, which keeps every digit; numbers within free JSON as doubles."""
    match value:
        case Json():
            return _doubles(value.value)
        case Decimal():
            return str(value)
    return value


def _doubles(value: object) -> object:
    match value:
        case dict():
            return {name: _doubles(part) for name, part in value.items()}
        case list():
            return [_doubles(part) for part in value]
        case Decimal():
            double = float(value)
            if not math.isfinite(double) or (double == 0 and value != 0):
                raise ApiError("json_unreasonable")
            return double
    return value


async def _require_result(response: httpx.Response) -> None:
    """Raise the ApiError for an answer that is no result. A bug of this server is left to the client to raise."""
    content = await response.aread()
    is_json = "json" in response.headers.get("content-type", "")
    if response.status_code == 204 or (response.is_success and is_json and content):
        replayed.set(replayed.get() or REPLAYED_HEADER in response.headers)
        return
    error = _api_error(response)
    if error is not None:
        error.retry_after = response.headers.get("retry-after", error.retry_after)
        raise error


def _api_error(response: httpx.Response) -> ApiError | None:
    """The ApiError for an error of PostgREST or of a gateway before it; None if it is a bug of this server."""
    try:
        body = _Error.model_validate_json(response.content)
    except ValidationError:
        return _gateway_error(response)
    code, message = body.code, body.message or ""
    if not _CODE_OF_POSTGREST.fullmatch(code):
        return _gateway_error(response)
    if code in _AWAY:
        _log.warning("database away: %s %s", code, message)
        return ApiError("database_away")
    if code == _BUSY:
        _log.warning("database busy: %s %s", code, message)
        return ApiError("busy")
    if code in _NO_ANSWER:
        _log.warning("no answer: %s %s", code, message)
        return ApiError("outcome_unknown")
    if code in _NOT_MIGRATED:
        _log.error("the project at SUPABASE_URL is not migrated, or its schema cache is old: %s %s", code, message)
        return ApiError("database_away")
    if code.startswith("PGRST3"):
        _log.error(
            "JWT_SECRET is not the project's, or the two clocks differ by more than half a minute: %s %s", code, message
        )
        return ApiError("database_away")
    return api_error(code, message, str(body.details or ""))


def _gateway_error(response: httpx.Response) -> ApiError:
    """The ApiError for an answer that is not PostgREST's. Below 500 a gateway refuses, and has passed nothing on."""
    status, text = response.status_code, response.text[:200]
    if status == 429:
        _log.warning("the gateway at SUPABASE_URL limits requests: %s %r", status, text)
        return ApiError("busy", retry_after="1")
    if status == 413:
        return ApiError("too_large")
    if status in (401, 403):
        _log.error("SUPABASE_ANON_KEY is refused by the gateway at SUPABASE_URL: %s %r", status, text)
        return ApiError("database_away")
    if 300 <= status < 500 and status != 408:
        _log.error("SUPABASE_URL leads to no Data API, or the project is restricted: %s %r", status, text)
        return ApiError("database_away")
    _log.warning("no answer of the Data API but of a gateway: %s %r", status, text)
    return ApiError("outcome_unknown")
