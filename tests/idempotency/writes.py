"""Every POST of /api: a request that has an effect, and a different one, with ids of their own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg

from api.actor import Actor
from tests.support.acting import call, thinker
from tests.support.forms import CONTENT_TYPE, END, field, file
from tests.support.serving import Answer, Connection

UPLOAD = "/api/contracts/upload"

NINE = datetime(2030, 5, 1, 9, tzinfo=UTC)
TRANSFER = {"direction": "in", "cryptoAmount": 0.5, "cryptoSymbol": "ETH", "fiatAmount": 1500.75, "fiatCurrency": "EUR"}


@dataclass(frozen=True)
class Write:
    """The body of a request, that of a different one to the same route, and the uid in X-MOT-User.

    `{w}` stands for the name of the world, `{contract}` for the id of its mortgage contract.
    """

    body: object
    other: object
    user: str = ""


WRITES: Mapping[str, Write] = {
    # the token says who acts: the same body with another token is a different request
    "/api/presence/verify": Write({"token": "{w}"}, None),
    "/api/presence/heartbeat": Write({"thinker_id": "anna{w}"}, {"thinker_id": "anna{w}", "status": "away"}),
    "/api/presence/match": Write(
        {"thinker_id": "anna{w}", "pair_code": "p{w}"}, {"thinker_id": "anna{w}", "pair_code": "q"}
    ),
    "/api/voucher/issue": Write({"issuerUid": "anna{w}"}, {"issuerUid": "anna{w}", "title": "Other"}),
    "/api/voucher/book": Write(
        {"voucherId": "free{w}", "slotId": "slot-2030-05-01T09:00:00.000Z", "holderUid": "ben{w}"},
        {"voucherId": "free{w}", "slotId": "slot-2030-05-01T10:00:00.000Z", "holderUid": "ben{w}"},
    ),
    # it has two bookings
    "/api/voucher/cancel": Write({"voucherId": "booked{w}"}, {"voucherId": "booked{w}", "reason": "ill"}),
    "/api/telbank/transfers": Write(TRANSFER, TRANSFER | {"cryptoAmount": 0.6}),
    "/api/hypotheken/anfrage": Write({}, {"desiredLoan": {"amount": 1}}, "anna{w}"),
    "/api/hypotheken/angebot": Write({"applicationId": "app{w}"}, {"applicationId": "app{w}", "loan": {}}, "bank{w}"),
    "/api/hypotheken/angebot/accept": Write({"voucherId": "offer{w}"}, {"voucherId": "offer2{w}"}, "anna{w}"),
    "/api/hypotheken/vertrag/update-status": Write(
        {"contractVoucherId": "{contract}", "action": "signed-by-borrower"},
        {"contractVoucherId": "{contract}", "action": "signed-by-notary"},
        "anna{w}",
    ),
    "/api/mortgage/application": Write({}, {"maxInterestRate": 0.04}, "anna{w}"),
    "/api/mortgage/offer": Write(
        {"applicationId": "app{w}"}, {"applicationId": "app{w}", "interestRate": 0.03}, "bank{w}"
    ),
    UPLOAD: Write("a document", "another document"),
    "/api/telemetry": Write({"type": "click"}, {"type": "page.error"}),
}


class World:
    """The rows that the requests of WRITES are about, and a client that sends them."""

    def __init__(self, portal: str, connection: psycopg.Connection) -> None:
        """Creates the rows, under a new name, in the database of a portal."""
        self.name = uuid4().hex[:12]
        self.connection = connection
        self.portal = portal
        anna, ben, bank = (self.thinker(who) for who in ("anna", "ben", "bank"))
        for who in (anna, ben):
            call(connection, who, "send_heartbeat", pair_code=f"p{self.name}")
        for voucher in ("free", "booked"):
            self.do(anna, "issue_voucher", voucher_id=voucher, valid_from=NINE, valid_until=NINE + timedelta(hours=8))
        for hours in (0, 1):
            self.do(ben, "book_voucher", voucher_id="booked", slot_start=NINE + timedelta(hours=hours))
        for application, offers in (("app", ("offer", "offer2")), ("accepted", ("accepted",))):
            self.do(anna, "apply_for_mortgage", application_id=application)
            for offer in offers:
                self.do(bank, "offer_mortgage", application_id=application, offer_id=offer)
        self._contract: str = self.do(anna, "accept_mortgage_offer", offer_id="accepted")["contract"]["id"]

    def thinker(self, who: str) -> Actor:
        """Returns a thinker of this world; the bank is a lender."""
        return thinker(who + self.name, *(["lender"] if who == "bank" else []))

    def do(self, who: Actor, function: str, **params: object) -> Any:
        """Calls a function; the ids in its arguments get the world's name."""
        named = {key: f"{value}{self.name}" if key.endswith("_id") else value for key, value in params.items()}
        return call(self.connection, who, function, **named)

    def send(self, path: str, key: str | None, *, other: bool = False) -> Answer:
        """Sends the request of a route, or the different one."""
        write = WRITES[path]
        headers: dict[str, str | bytes] = {} if key is None else {"Idempotency-Key": key}
        if write.user:
            headers["X-MOT-User"] = self._named(write.user)
        body = write.other if other else write.body
        with Connection(self.portal) as connection:
            if path == UPLOAD:
                form = file(self._named(str(body)).encode()) + field("roomId", f"r{self.name}") + END
                return connection.ask("POST", path, raw=form, headers=headers | {"Content-Type": CONTENT_TYPE})
            return connection.ask("POST", path, raw=self._named(json.dumps(body)).encode(), headers=headers)

    def _named(self, text: str) -> str:
        return text.replace("{w}", self.name).replace("{contract}", self._contract)


def without_tokens(answer: Answer) -> tuple[int, object]:
    """Status and body, without the tokens, which are made anew for every answer."""
    body = dict(answer.body or {})
    body.pop("access_token", None)
    return answer.status, body


def everything(connection: psycopg.Connection) -> dict[str, str]:
    """Returns the rows of each table of public."""
    tables = connection.execute(
        "select oid::regclass::text from pg_class "
        "where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition"
    ).fetchall()
    return {
        table: connection.execute(
            f"select string_agg(t::text, ' ' order by t::text) from {table} t".encode()
        ).fetchall()[0][0]
        for (table,) in tables
    }


def keys(connection: psycopg.Connection, key: str) -> int:
    """Returns how many keys of that name are stored."""
    [(count,)] = connection.execute("select count(*) from private.idempotency_keys where key = %s", (key,)).fetchall()
    return int(count)
