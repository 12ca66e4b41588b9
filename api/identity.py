"""Who is acting: uids, thinkers' ids, and what a request may say about both."""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from api.settings import Settings

Role = Literal["anon", "authenticated", "service_role"]

_UUID_OF_VERSION_4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def thinker_id(public_id: str) -> UUID:
    """The id of the thinker with this public id: the same rule as SQL's `private.thinker_id`.

    The public id itself where it is a UUID of version 4 (a user of Supabase Auth), else its SHA-256 shaped as a
    UUID of version 8, so that the layer can name an actor without asking the database.
    """
    if _UUID_OF_VERSION_4.fullmatch(public_id):
        return UUID(public_id)
    digest = hashlib.sha256(public_id.encode()).hexdigest()
    return UUID(f"{digest[:12]}8{digest[13:16]}8{digest[17:32]}")


@dataclass(frozen=True)
class Actor:
    """As whom SQL is called: a database role, and the uid of the thinker where there is one."""

    role: Role
    uid: str | None = None

    def claims(self) -> str:
        """The JSON for `request.jwt.claims`, as PostgREST would take it from a JWT."""
        claims: dict[str, str] = {"role": self.role}
        if self.uid is not None:
            claims |= {"sub": str(thinker_id(self.uid)), "public_id": self.uid}
        return json.dumps(claims)


class Caller:
    """A trusted request: it may assert any uid, and act for nobody in particular, as the legacy API let it."""

    def as_thinker(self, uid: str) -> Actor:
        """The thinker with this uid, who may do what concerns itself."""
        return Actor("authenticated", uid)

    def as_server(self, uid: str | None = None) -> Actor:
        """The trusted server, for what the legacy API asked nobody's leave for; on behalf of `uid` if given."""
        return Actor("service_role", uid)


class ApiKeyMiddleware(AbstractAuthenticationMiddleware):
    """A request is trusted when it carries the key in `TS_API_KEY` (`X-TS-APIKEY`), or when no key is set.

    Any other gets 401 `invalid api key`, before anything else is looked at (contract, section 7). Routes with the
    opt `open` are answered to everybody.
    """

    async def authenticate_request(
        self, connection: ASGIConnection[BaseRouteHandler, Caller, None, State]
    ) -> AuthenticationResult:
        settings: Settings = connection.app.state.settings
        if settings.ts_api_key is not None and not connection.route_handler.opt.get("open"):
            expected = settings.ts_api_key.get_secret_value().encode()
            given = connection.headers.get("x-ts-apikey", "").encode("latin-1")  # as the bytes that were sent
            if not hmac.compare_digest(expected, given):
                raise NotAuthorizedException("invalid api key")
        return AuthenticationResult(user=Caller(), auth=None)
