"""The gateway to a Supabase project: its Data API through Supabase's client, with a short-lived token of the actor."""

import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
from supabase import AsyncClient, AsyncClientOptions, PostgrestAPIError, acreate_client

from api.actor import Actor
from api.errors import ApiError
from api.gateway import Json, api_error
from api.settings import Settings
from api.tokens import Tokens

TOKEN_SECONDS = 60

# PostgREST cannot connect, or its schema cache is not loaded; it has no free connection
_AWAY = ("PGRST000", "PGRST002", "503")
_BUSY = "PGRST003"
# PostgREST lost the connection during the call, or a proxy before it timed out
_NO_ANSWER = ("PGRST001", "502", "504")

_log = logging.getLogger(__name__)
# httpx logs every request at INFO
logging.getLogger("httpx").setLevel(logging.WARNING)


class DataApiGateway:
    """Calls functions as `POST /rest/v1/rpc/<function>`."""

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
        async with httpx.AsyncClient(timeout=httpx.Timeout(15, connect=3)) as connections:
            options = AsyncClientOptions(httpx_client=connections, auto_refresh_token=False, persist_session=False)
            self._client = await acreate_client(self._url, self._api_key, options)
            yield

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Gateway. PostgREST makes each request one transaction."""
        try:
            query = self._client.rpc(function, {name: _plain(value) for name, value in params.items()})
            # this request's own headers: the client's are shared by concurrent calls
            query.request.headers["Authorization"] = f"Bearer {self._tokens.issue(actor, TOKEN_SECONDS)}"
            response = await query.execute()
        except PostgrestAPIError as error:
            raise _api_error(error) from error
        except httpx.PoolTimeout as error:
            raise ApiError("busy") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            _log.warning("no connection: %r", error)
            raise ApiError("database_away") from error
        except httpx.TransportError as error:
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
            if not math.isfinite(double):
                raise ApiError("json_unreasonable")
            return double
    return value


def _api_error(error: PostgrestAPIError) -> Exception:
    """The ApiError for a client; the error itself where it is a bug of this server."""
    code, message = str(error.code or ""), error.message or ""
    if code in _AWAY:
        _log.warning("database away: %s %s", code, message)
        return ApiError("database_away")
    if code == _BUSY:
        _log.warning("database busy: %s %s", code, message)
        return ApiError("busy")
    if code in _NO_ANSWER:
        _log.warning("no answer: %s %s", code, message)
        return ApiError("outcome_unknown")
    return api_error(code, message, error.details or "") or error
