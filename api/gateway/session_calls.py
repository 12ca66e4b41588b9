"""The calls of a browser session: each as a thinker that belongs to it (sql/23_claims)."""

import base64
import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from api.actor import SERVER, Actor
from api.errors import ApiError
from api.gateway import Calls, Row

MAX_PAGE_BYTES = 1024 * 1024
"""As of a page of SQL (`private.read_page`); several thinkers share it."""

_NEWEST_FIRST = {
    "list_vouchers": False,
    "list_bookings": True,
    "list_contracts": True,
    "list_mortgage_offers": False,
    "list_transfers": True,
}
"""The lists that a session sees as those of all its thinkers, and whether their pages begin with the newest row."""


_OF_A_PARTY = ("cancel_booking", "sign_mortgage_contract")
"""What a thinker may do to something that is there already: any of a session's thinkers is asked."""

_OF_A_ROOM = ("check_contract_link", "record_contract")
"""What the thinker of a token may do, too, in the room into which the page was matched as that thinker."""

Turn = Callable[[], AbstractAsyncContextManager[None]]
"""What a client does within is done once at a time (`Shares.turn`)."""


class SessionCalls:
    """Calls functions as the thinkers of a session.

    SQL looks whether the session still acts as the thinker of a call (`private.is_valid_request`); a uid that a request
    names is claimed where it does not. A request that names none acts as the thinkers that the session has claimed: the
    first one that is allowed to, and in lists as all of them. Something new belongs to the session's own thinkers: a
    link with a token adds its thinker to anybody's session, which must not write as that one unasked.
    """

    def __init__(
        self, calls: Calls, session_id: UUID, turn: Turn, *, claims: bool, client: str | None, known: bool
    ) -> None:
        """Take the calls of the request, its session, and what `claim_thinker` takes of the claims that it makes.

        A merged list is read within a `turn`, because one client could read many at once.
        Without `claims` (a request that only reads) a session without thinkers sees what everybody may see.
        """
        self._calls = calls
        self._session_id = session_id
        self._turn = turn
        self._claims = claims
        self._client = client
        self._known = known

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Calls. Raises ApiError also: session_ended, not_yourself, too_many_claims."""
        if actor is SERVER:
            return await self._calls.call(function, actor, **params)
        actor = replace(actor, session_id=self._session_id)
        if actor.uid is not None:
            try:
                return await self._calls.call(function, actor, **params)
            except ApiError as error:
                if error.code != "session_ended":
                    raise
            await self._claim(actor.uid)
            return await self._call_as(actor, function, params)
        thinkers = await self._calls.call(
            "session_thinkers",
            SERVER,
            session_id=self._session_id,
            request_key=params.get("idempotency_key"),
        )
        own = [replace(actor, uid=thinker["uid"]) for thinker in thinkers if not thinker["is_proven"]]
        proven = [replace(actor, uid=thinker["uid"]) for thinker in thinkers if thinker["is_proven"]]
        guest = _guest(self._session_id)
        if self._claims and not own:
            await self._claim(guest)
            own = [replace(actor, uid=guest)]
        elif not thinkers:
            own = [replace(actor, uid=guest, session_id=None)]  # nobody, who sees what everybody may see
        if function in _NEWEST_FIRST:
            return await self._list(function, own + proven, params)
        attempts = [(each, params) for each in own]
        if not self._claims or function in _OF_A_PARTY:
            attempts += [(each, params) for each in proven]
        elif function in _OF_A_ROOM and params["room_id"] is not None:
            attempts += [(each, params | {"matched": True}) for each in proven]
        # who has carried out this request before answers it again: another thinker would carry it out anew
        answering = {thinker["uid"] for thinker in thinkers if thinker["has_answer"]}
        return await self._first(function, sorted(attempts, key=lambda attempt: attempt[0].uid not in answering))

    async def _claim(self, uid: str) -> None:
        await self._calls.call(
            "claim_thinker", SERVER, session_id=self._session_id, uid=uid, client=self._client, known=self._known
        )

    async def _call_as(self, actor: Actor, function: str, params: dict[str, object]) -> Any:
        """The result for a thinker that the session had just now.

        Raises ApiError `busy` where another request has taken the thinker from it meanwhile.
        """
        try:
            return await self._calls.call(function, actor, **params)
        except ApiError as error:
            if error.code == "session_ended":
                # the session itself goes on: its browser must keep the cookie
                raise ApiError("busy") from error
            raise

    async def _first(self, function: str, attempts: list[tuple[Actor, dict[str, object]]]) -> Any:
        """The result for the first thinker that is not refused, else the first refusal."""
        refusals = []
        for actor, params in attempts:
            try:
                return await self._call_as(actor, function, params)
            except ApiError as error:
                if error.status not in (403, 404):
                    raise
                refusals.append(error)
        raise refusals[0]

    async def _list(self, function: str, actors: list[Actor], params: dict[str, object]) -> list[Row]:
        """One page of the rows that any of the thinkers may see."""
        if len(actors) == 1:
            # nothing to merge: the page is as long as it may be
            page: list[Row] = await self._call_as(actors[0], function, params)
            return page
        async with self._turn():
            return await self._merged_list(function, actors, params)

    async def _merged_list(self, function: str, actors: list[Actor], params: dict[str, object]) -> list[Row]:
        """See `_list`: the pages of several thinkers, each with a part of the rows and the bytes."""
        most = int(str(params["max_rows"]))
        part = {"max_rows": max(1, most // len(actors)), "max_bytes": MAX_PAGE_BYTES // len(actors)}
        newest_first = _NEWEST_FIRST[function]
        pages: list[list[Row]] = []
        refusals = []
        for actor in actors:
            try:
                page = await self._call_as(actor, function, params | part)
            except ApiError as error:
                if error.status != 403:
                    raise
                refusals.append(error)
            else:
                pages.append(page if newest_first else _turned(page))
        if not pages:
            raise refusals[0]
        merged = _cut(_merged(pages), most)
        return merged if newest_first else _turned(merged)


def _guest(session_id: UUID) -> str:
    """The uid of a session that has named none; nobody can compute the session from it.

    No other session may claim it (`claim_thinker`, which computes it, too).
    """
    return f"guest-{hashlib.sha256(b'guest' + session_id.bytes).hexdigest()[:22]}"


def _turned(page: list[Row]) -> list[Row]:
    """The page in the opposite order, with the cursor of the next one in its last row again."""
    rows = [{name: value for name, value in row.items() if name != "next"} for row in reversed(page)]
    if page and page[-1].get("next"):
        rows[-1]["next"] = page[-1]["next"]
    return rows


def _merged(pages: list[list[Row]]) -> list[Row]:
    """The rows of several pages, the newest first, each once, as far as all pages go."""
    rows: dict[object, Row] = {}
    for row in (row for page in pages for row in page):
        # a party sees more of a row than others
        rows[row["id"]] = max(row, rows.get(row["id"], row), key=lambda seen: sum(v is not None for v in seen.values()))
    in_order = sorted(rows.values(), key=_place, reverse=True)
    ends = [page[-1] for page in pages if page and page[-1].get("next")]
    if not ends:
        return in_order
    end = max(ends, key=_place)
    place = [row["id"] for row in in_order].index(end["id"])
    return [*in_order[:place], in_order[place] | {"next": end["next"]}]


def _cut(rows: list[Row], most: int) -> list[Row]:
    """At most so many of the rows, the last one with the cursor of the next page."""
    if len(rows) <= most:
        return rows
    last = rows[most - 1]
    key = msgspec.json.encode([last["created_at"], str(last["id"])])
    return [*rows[: most - 1], last | {"next": base64.urlsafe_b64encode(key).decode()}]


def _place(row: Row) -> tuple[datetime, str]:
    """What lists are ordered by: the time of a row, and its id."""
    return datetime.fromisoformat(row["created_at"]), str(row["id"])
