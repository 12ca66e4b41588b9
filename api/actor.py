"""The actor of a call to the database, and the id of a thinker."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

Role = Literal["anon", "authenticated", "service_role"]

_UUID_OF_VERSION_4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def thinker_id(public_id: str) -> UUID:
    """The id of the thinker with this public id: the same rule as SQL's `private.thinker_id`.

    A UUID of version 4 (a user of Supabase Auth) stays as it is; any other public id becomes a UUID of version 8 from
    its SHA-256, so that the layer knows an actor's id without a query.
    """
    if _UUID_OF_VERSION_4.fullmatch(public_id):
        return UUID(public_id)
    digest = hashlib.sha256(public_id.encode()).hexdigest()
    return UUID(f"{digest[:12]}8{digest[13:16]}8{digest[17:32]}")


@dataclass(frozen=True)
class Actor:
    """The identity under which SQL runs: a database role, and the uid of a thinker if there is one.

    `app_metadata` is the claim of a token of Supabase Auth, which may hold the user's roles; `session_id` is the
    browser session that acts as the thinker, which SQL checks (`private.is_valid_request`); `expires_at` is when a
    token ends that proves the thinker, in epoch seconds.
    """

    role: Role
    uid: str | None = None
    app_metadata: Mapping[str, object] | None = None
    session_id: UUID | None = None
    expires_at: float | None = field(default=None, compare=False)

    def claims(self) -> dict[str, object]:
        """The value of `request.jwt.claims`, as PostgREST takes it from a JWT."""
        claims: dict[str, object] = {"role": self.role}
        if self.uid is not None:
            claims |= {"sub": str(thinker_id(self.uid)), "public_id": self.uid}
        if self.app_metadata:
            claims["app_metadata"] = self.app_metadata
        if self.session_id is not None:
            claims["portal_session"] = str(self.session_id)
        return claims


SERVER = Actor("service_role")
"""The server itself, without a thinker."""
