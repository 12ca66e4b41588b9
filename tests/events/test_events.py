"""Every write leaves its event once, in its own transaction, through functions and by hand."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.actor import SERVER, Actor, thinker_id
from tests.support.acting import call, one, thinker

ANN, BEN, NORA = thinker("ann"), thinker("ben"), thinker("nora")
SIGNED_BY_ALL = (
    "update public.mortgage_contracts set borrower_signed_at = now(), lender_signed_at = now(), "
    "notary_signed_at = now(), updated_at = now(), status = 'signed'"
)
PERSON_A, PERSON_B = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b"
OPEN, INVOICED = "00000000-0000-7000-8000-00000000000c", "00000000-0000-7000-8000-00000000000d"
CHARGE = "00000000-0000-7000-8000-00000000000e"
NEW_ID = "00000000-0000-7000-8000-0000000000ff"
DOCUMENT = {
    "contract_id": UUID(NEW_ID),
    "name": "n",
    "mime_type": None,
    "byte_size": 1,
    "storage_url": "contracts/c/c",
    "hash_sha256": "0" * 64,
}
TELEMETRY = [{"type": "page.view", "path": "/x?token=secret#part"}]

# stands for an id that the write generates
ANY = "any"


@dataclass(frozen=True)
class Event:
    """The expected event of a write."""

    type: str
    actor: str | None
    subject_type: str
    subject_id: str
    meta: dict[str, Any]


@dataclass(frozen=True)
class Write:
    """A write in the scene, and the events of its kind that it leaves."""

    name: str
    do: Callable[[psycopg.Connection], object]
    events: tuple[Event, ...]


def function(actor: Actor, function: str, /, **params: object) -> Callable[[psycopg.Connection], object]:
    return lambda connection: call(connection, actor, function, **params)


def as_operator(connection: psycopg.Connection) -> psycopg.Connection:
    """Returns the superuser's connection, without the claims of an earlier call in this transaction."""
    connection.execute("select set_config('role', 'none', true), set_config('request.jwt.claims', '', true)")
    return connection


def by_hand(statement: LiteralString) -> Callable[[psycopg.Connection], object]:
    return lambda connection: as_operator(connection).execute(statement)


def release(connection: psycopg.Connection) -> None:
    """Lets a session prove a token, and an operator release the thinker."""
    call(connection, SERVER, "prove_thinker", session_id=UUID(NEW_ID), uid="ann")
    as_operator(connection).execute("select private.release_thinker('ann')")


def accepted(actor: str) -> Event:
    return Event("mortgage.accept", actor, "mortgage_offer", "offer", {"applicationId": "app", "lenderUid": "ben"})


def signed(actor: str | None, signer: str, status: str = "draft") -> Event:
    return Event("mortgage.sign", actor, "mortgage_contract", "contract", {"signer": signer, "status": status})


def offline(actor: str, *, silenced: bool = False) -> Event:
    meta = {"pairCode": "familie", "silenced": silenced}
    return Event("presence.offline", actor, "presence_session", PERSON_A, meta)


VERIFY = Event("presence.verify", "ann", "thinker", "ann", {})
HEARTBEAT = Event(
    "presence.heartbeat", "ann", "presence_session", PERSON_A, {"pairCode": "familie", "status": "online"}
)
ISSUE = Event("voucher.issue", "ann", "voucher", "new", {"serviceType": "generic.service"})
EXPIRE = Event("voucher.expire", "ann", "voucher", "open", {"validUntil": "2030-01-07T18:00:00.000Z"})
BOOK = Event(
    "voucher.book", "ben", "voucher_booking", ANY, {"voucherId": "open", "slotStart": "2030-01-07T09:00:00.000Z"}
)
APPLICATION = Event(
    "mortgage.application", "ann", "mortgage_application", "new", {"propertyId": None, "desiredLoan": None}
)
OFFER = Event("mortgage.offer", "ben", "mortgage_offer", "new", {"applicationId": "app"})
UPLOAD = Event(
    "contract.upload", "ann", "contract", NEW_ID, {"voucherId": None, "roomId": None, "storageUrl": "contracts/c/c"}
)
LOGGED = Event("transfer.logged", "ann", "transfer", ANY, {"direction": "in"})
SETTLED = Event("transfer.settled", "ann", "transfer", "transfer", {"direction": "in"})
PAGE_VIEW = Event("telemetry.event", "ann", "telemetry", ANY, {"type": "page.view", "path": "/x"})


def matched(uid: str) -> Event:
    return Event("presence.match", uid, "room", ANY, {"pairCode": "familie"})


def entered(uid: str) -> Event:
    return Event("presence.join", uid, "room", ANY, {"pairCode": "familie"})


def cancelled(actor: str, reason: str | None = "ill", booking: str = "booking") -> Event:
    return Event("voucher.cancel", actor, "voucher_booking", booking, {"voucherId": "held", "reason": reason})


def settlement(type_: str, id_: str, by: str = "service_role", **more: str) -> Event:
    meta = {
        "beneficiary": "ann",
        "periodFrom": "2026-01-01",
        "periodTo": "2026-02-01",
        "totalCents": 0 if id_ == NEW_ID else 5,
        "currency": "EUR",
        "by": by,
    }
    return Event(type_, None, "settlement", id_, meta | more)


def fee(percentage: float, fixed_amount: int = 0, currency: str | None = None) -> dict[str, object]:
    """What the log says of the fee of bookings."""
    beneficiary = str(thinker_id("togethersystems"))
    return {
        "scope": "voucher",
        "percentage": percentage,
        "fixed_amount": fixed_amount,
        "currency": currency,
        "active": True,
        "beneficiary_id": beneficiary,
        "min_cents": None,
        "reversed_after_start": False,
        "max_cents": None,
        "payer": None,
    }


REVERSED = Event(
    "fee.reversed", None, "fee_event", ANY,
    {"reverses": CHARGE, "amountCents": -5, "currency": "EUR", "reason": "nobody came", "by": "service_role"},
)  # fmt: skip
ADJUSTED = Event(
    "fee.adjusted", None, "fee_event", ANY,
    {"adjusts": CHARGE, "amountCents": -2, "currency": "EUR", "reason": "goodwill", "by": "service_role"},
)  # fmt: skip
INVOICE = {"number": ANY, "dueOn": ANY}
PAYMENT = Event(
    "settlement.payment", None, "settlement", INVOICED,
    {"payment": ANY, "amountCents": 5, "paidOn": ANY, "by": "service_role"},
)  # fmt: skip
FEE = Event(
    "fee.changed", None, "fee", "voucher.booking",
    {"before": fee(0.02), "after": fee(0.03, 30, "EUR"), "by": "postgres"},
)  # fmt: skip

WRITES = [
    # through the functions
    Write("verify", function(ANN, "verify_presence"), (VERIFY,)),
    Write("heartbeat", function(ANN, "send_heartbeat"), (HEARTBEAT,)),
    Write("match", function(ANN, "match_presence", pair_code="familie"), (matched("ann"), matched("ben"))),
    Write("says offline", function(ANN, "send_heartbeat", status="offline"), (offline("ann"),)),
    Write("issue", function(ANN, "issue_voucher", voucher_id="new"), (ISSUE,)),
    Write("book", function(BEN, "book_voucher", voucher_id="open", slot_start="2030-01-07 09:00Z"), (BOOK,)),
    Write("holder cancels", function(BEN, "cancel_booking", booking_id="booking", reason="ill"), (cancelled("ben"),)),
    Write("issuer cancels", function(ANN, "cancel_booking", booking_id="booking", reason="ill"), (cancelled("ann"),)),
    Write("server cancels", function(SERVER, "cancel_booking", booking_id="booking"), (cancelled("ben", None),)),
    Write("apply", function(ANN, "apply_for_mortgage", application_id="new"), (APPLICATION,)),
    Write("offer", function(BEN, "offer_mortgage", application_id="app", offer_id="new"), (OFFER,)),
    Write("accept", function(ANN, "accept_mortgage_offer", offer_id="offer"), (accepted("ann"),)),
    Write(
        "borrower signs",
        function(ANN, "sign_mortgage_contract", contract_id="contract", signer="borrower"),
        (signed("ann", "borrower"),),
    ),
    Write(
        "lender signs",
        function(BEN, "sign_mortgage_contract", contract_id="contract", signer="lender"),
        (signed("ben", "lender"),),
    ),
    Write(
        "notary signs",
        function(NORA, "sign_mortgage_contract", contract_id="contract", signer="notary"),
        (signed("nora", "notary"),),
    ),
    Write(
        "server signs as notary",
        function(SERVER, "sign_mortgage_contract", contract_id="contract", signer="notary"),
        (signed(None, "notary"),),
    ),
    Write("upload", function(Actor("service_role", "ann"), "record_contract", **DOCUMENT), (UPLOAD,)),
    Write(
        "log a transfer",
        function(
            ANN, "log_transfer", direction="in", crypto_amount=1, crypto_symbol="ETH", fiat_major=1, fiat_currency="EUR"
        ),
        (LOGGED,),
    ),
    Write("telemetry", function(ANN, "record_telemetry", events=TELEMETRY), (PAGE_VIEW,)),
    Write(
        "a session claims a uid",
        function(SERVER, "claim_thinker", session_id=UUID(NEW_ID), uid="new"),
        (Event("thinker.claimed", "new", "thinker", "new", {"proven": False}),),
    ),
    Write(
        "a session proves a token",
        function(SERVER, "prove_thinker", session_id=UUID(NEW_ID), uid="ann"),
        (Event("thinker.claimed", "ann", "thinker", "ann", {"proven": True}),),
    ),
    # by hand
    Write("release", release, (Event("thinker.released", None, "thinker", "ann", {"by": "postgres"}),)),
    Write(
        "verify by hand", by_hand("update public.thinkers set verified_at = now() where public_id = 'ann'"), (VERIFY,)
    ),
    Write(
        "heartbeat by hand",
        by_hand(f"update public.presence_sessions set last_seen_at = now() where id = '{PERSON_A}'"),
        (HEARTBEAT,),
    ),
    Write(
        "match by hand",
        by_hand("update public.presence_sessions set room_id = 'r'"),
        (matched("ann"), matched("ben")),
    ),
    Write(
        "join by hand",
        by_hand("update public.presence_sessions set room_id = 'r', joined_at = now()"),
        (matched("ann"), matched("ben"), entered("ann"), entered("ben")),
    ),
    Write(
        "offline by hand",
        by_hand(f"update public.presence_sessions set status = 'offline' where id = '{PERSON_A}'"),
        (offline("ann"),),
    ),
    Write(
        "silenced",
        by_hand(f"update public.presence_sessions set status = 'offline', silenced = true where id = '{PERSON_A}'"),
        (offline("ann", silenced=True),),
    ),
    Write(
        "issue by hand",
        by_hand(
            "insert into public.vouchers (id, issuer_id, valid_from, valid_until) "
            "values ('new', private.thinker_id('ann'), now(), now())"
        ),
        (ISSUE,),
    ),
    Write("expire", by_hand("update public.vouchers set status = 'expired' where id = 'open'"), (EXPIRE,)),
    Write(
        "issued as expired",
        function(ANN, "issue_voucher", voucher_id="new", status="expired", valid_until="2030-01-07 18:00Z"),
        (Event("voucher.expire", "ann", "voucher", "new", EXPIRE.meta),),
    ),
    Write(
        "book by hand",
        by_hand(
            "insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end) values "
            "('open', private.thinker_id('ann'), private.thinker_id('ben'), '2030-01-07 09:00Z', '2030-01-07 10:00Z')"
        ),
        (BOOK,),
    ),
    Write(
        "cancel by hand",
        by_hand(
            "update public.voucher_bookings set status = 'cancelled', cancel_reason = 'ill', cancelled_at = now() "
            "where id = 'booking'"
        ),
        (cancelled("ben"),),
    ),
    Write(
        "written as cancelled",
        by_hand(
            "insert into public.voucher_bookings "
            "(id, voucher_id, issuer_id, holder_id, slot_start, slot_end, status, cancel_reason, cancelled_at) values "
            "('new', 'held', private.thinker_id('ann'), private.thinker_id('ben'), "
            "'2030-01-07 09:00Z', '2030-01-07 10:00Z', 'cancelled', 'ill', now())"
        ),
        (cancelled("ben", booking="new"),),
    ),
    Write(
        "apply by hand",
        by_hand("insert into public.mortgage_applications (id, borrower_id) values ('new', private.thinker_id('ann'))"),
        (APPLICATION,),
    ),
    Write(
        "offer by hand",
        by_hand(
            "insert into public.mortgage_offers (id, application_id, lender_id, room_refs) "
            "values ('new', 'app', private.thinker_id('ben'), '{}')"
        ),
        (OFFER,),
    ),
    Write(
        "accept by hand",
        by_hand("update public.mortgage_offers set status = 'accepted' where id = 'offer'"),
        (accepted("ann"),),
    ),
    Write(
        "written as accepted",
        by_hand(
            "insert into public.mortgage_offers (id, application_id, lender_id, room_refs, status) "
            "values ('new', 'app', private.thinker_id('ben'), '{}', 'accepted')"
        ),
        (Event("mortgage.accept", "ann", "mortgage_offer", "new", accepted("ann").meta),),
    ),
    Write(
        "all sign by hand",
        by_hand(SIGNED_BY_ALL),
        (signed("ann", "borrower", "signed"), signed("ben", "lender", "signed"), signed(None, "notary", "signed")),
    ),
    Write(
        "written as signed",
        by_hand(
            "insert into public.mortgage_contracts (id, offer_id, lender_signed_at, updated_at) "
            "values ('new', 'offer', now(), now())"
        ),
        (Event("mortgage.sign", "ben", "mortgage_contract", "new", signed("ben", "lender").meta),),
    ),
    Write(
        "upload by hand",
        by_hand(
            "insert into public.contracts (id, name, byte_size, storage_url, hash_sha256, created_by) "
            f"values ('{NEW_ID}', 'n', 1, 'contracts/c/c', repeat('0', 64), private.thinker_id('ann'))"
        ),
        (UPLOAD,),
    ),
    Write(
        "log a transfer by hand",
        by_hand(
            "insert into public.transfers "
            "(id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, thinker_id) "
            "values ('new', 'in', 1, 'ETH', 1, 'EUR', 'l', private.thinker_id('ann'))"
        ),
        (LOGGED,),
    ),
    Write("settle", by_hand("update public.transfers set status = 'settled' where id = 'transfer'"), (SETTLED,)),
    Write(
        "written as settled",
        by_hand(
            "insert into public.transfers "
            "(id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, status) "
            "values ('new', 'in', 1, 'ETH', 1, 'EUR', 'l', 'settled')"
        ),
        (Event("transfer.settled", None, "transfer", "new", SETTLED.meta),),
    ),
    Write(
        "telemetry by hand",
        by_hand(
            "insert into public.telemetry_events (type, path, actor_id) "
            "values ('page.view', '/x?token=secret', private.thinker_id('ann'))"
        ),
        (PAGE_VIEW,),
    ),
    # of money
    Write(
        "another price",
        by_hand(
            "update public.fees set percentage = 0.03, fixed_amount = 30, currency = 'EUR' where scope = 'voucher'"
        ),
        (FEE,),
    ),
    Write(
        "charge given back",
        function(SERVER, "reverse_fee", fee_event_id=UUID(CHARGE), reason="nobody came"),
        (REVERSED,),
    ),
    Write(
        "charge adjusted",
        function(SERVER, "adjust_fee", fee_event_id=UUID(CHARGE), amount_cents=-2, reason="goodwill"),
        (ADJUSTED,),
    ),
    Write(
        "settlement by hand",
        by_hand(
            "insert into public.settlements (id, beneficiary_id, period_from, period_to, total_cents, currency) "
            "select '00000000-0000-7000-8000-0000000000ff', beneficiary_id, period_from, period_to, 0, 'EUR' "
            "from public.settlements limit 1"
        ),
        (settlement("settlement.created", NEW_ID, by="postgres"),),
    ),
    Write(
        "invoice",
        function(SERVER, "invoice_settlement", settlement_id=UUID(OPEN)),
        (settlement("settlement.invoiced", OPEN, **INVOICE),),
    ),
    Write(
        "pay",
        function(SERVER, "pay_settlement", settlement_id=UUID(INVOICED)),
        (settlement("settlement.paid", INVOICED, **INVOICE), PAYMENT),
    ),
    Write(
        "write off",
        function(SERVER, "write_off_settlement", settlement_id=UUID(INVOICED), reason="bankrupt"),
        (settlement("settlement.written_off", INVOICED, **INVOICE, reason="bankrupt"),),
    ),
    Write(
        "void",
        function(SERVER, "void_settlement", settlement_id=UUID(OPEN), reason="wrong"),
        (settlement("settlement.voided", OPEN, reason="wrong"),),
    ),
    Write(
        "pay by hand",
        by_hand(
            "insert into public.settlement_payments (settlement_id, amount_cents, paid_on, recorded_by)"
            " select id, total_cents, now(), 'service_role' from public.settlements where status = 'invoiced'"
        ),
        (settlement("settlement.paid", INVOICED, by="postgres", **INVOICE), PAYMENT),
    ),
    Write(
        "an operator erases a person",
        by_hand("select private.erase_thinker('nora')"),
        (Event("thinker.erased", None, "thinker", ANY, {"by": "postgres"}),),
    ),
]

# a repeated write that changes nothing: no second event
NOTHING_NEW = [
    (
        "presence.offline",
        offline("ann"),
        "update public.presence_sessions set status = 'offline' where id = %s",
        PERSON_A,
    ),
    ("voucher.expire", EXPIRE, "update public.vouchers set status = 'expired' where id = %s", "open"),
    (
        "mortgage.accept",
        accepted("ann"),
        "update public.mortgage_offers set status = 'accepted' where id = %s",
        "offer",
    ),
    ("transfer.settled", SETTLED, "update public.transfers set status = 'settled' where id = %s", "transfer"),
]


def log(connection: psycopg.Connection) -> dict[str, Event]:
    """Returns the whole log by the ids of events."""
    rows = as_operator(connection).execute(
        "select id::text, type, private.uid_of(actor_id), subject_type, subject_id, meta from public.events"
    )
    return {row[0]: Event(*row[1:]) for row in rows}


def what_happened(connection: psycopg.Connection, write: Write) -> list[Event]:
    """Returns the new events of the write's kind, sorted; generated ids are ANY."""
    before = log(connection)
    write.do(connection)
    kinds = {event.type for event in write.events}
    new = [event for id_, event in log(connection).items() if id_ not in before and event.type in kinds]
    if any(event.subject_id == ANY for event in write.events):
        assert all(event.subject_id for event in new)
        new = [replace(event, subject_id=ANY) for event in new]
    generated = {"number", "dueOn", "payment", "paidOn"}
    new = [replace(event, meta=event.meta | dict.fromkeys(generated & event.meta.keys(), ANY)) for event in new]
    return sorted(new, key=repr)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.name)
def test_a_write_leaves_its_event_once(scene: psycopg.Connection, write: Write) -> None:
    with scene.transaction(force_rollback=True):
        assert what_happened(scene, write) == sorted(write.events, key=repr)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.name)
def test_a_write_that_is_rolled_back_leaves_no_event(scene: psycopg.Connection, write: Write) -> None:
    before = log(scene)
    with scene.transaction(force_rollback=True):
        write.do(scene)
        assert log(scene) != before
    assert log(scene) == before


def test_every_type_that_a_trigger_writes_is_tested(scene: psycopg.Connection) -> None:
    written = scene.execute(
        "select distinct found[1] from pg_proc, regexp_matches(prosrc, '''([a-z]+[.][a-z_]+)''', 'g') as found "
        "where prorettype = 'trigger'::regtype and prosrc ~ 'insert into public.events'"
    ).fetchall()
    assert {event.type for write in WRITES for event in write.events} == {name for (name,) in written}


@pytest.mark.parametrize(("kind", "event", "statement", "row"), NOTHING_NEW, ids=lambda value: str(value)[:20])
def test_a_repeated_write_leaves_no_second_event(
    scene: psycopg.Connection, kind: str, event: Event, statement: LiteralString, row: str
) -> None:
    with scene.transaction(force_rollback=True):
        for _ in range(2):
            scene.execute(statement, (row,))
        assert [found for found in log(scene).values() if found.type == kind and found.subject_id == row] == [event]


def test_heartbeats_and_tokens_leave_an_event_once_in_ten_seconds(scene: psycopg.Connection) -> None:
    with scene.transaction(force_rollback=True):
        before = log(scene)
        for _ in range(3):
            call(scene, ANN, "send_heartbeat", status="online")
            call(scene, ANN, "verify_presence")
        new = [event for id_, event in log(scene).items() if id_ not in before]
        assert sorted(new, key=repr) == sorted([HEARTBEAT, VERIFY], key=repr)


def test_who_joins_the_chat_leaves_an_event_once_in_a_minute_and_in_each_room(scene: psycopg.Connection) -> None:
    def joins() -> int:
        for _ in range(3):
            call(scene, ANN, "join_room", room_id=room)
        return sum(event.type == "presence.join" for event in log(scene).values())

    with scene.transaction(force_rollback=True):
        scene.execute("update public.presence_sessions set last_seen_at = now()")
        room = call(scene, ANN, "match_presence", pair_code="familie")["room_id"]
        assert joins() == 1
        # each change by hand leaves an event, too
        scene.execute(
            "update public.presence_sessions set joined_at = now() - interval '59 s' where joined_at <= now()"
        )
        assert joins() == 2
        scene.execute(
            "update public.presence_sessions set joined_at = now() - interval '61 s' where joined_at <= now()"
        )
        assert joins() == 4
        for actor in (ANN, BEN):
            call(scene, actor, "send_heartbeat", pair_code="other")
        room = call(scene, ANN, "match_presence", pair_code="other")["room_id"]
        assert joins() == 5


def test_a_repeated_signature_leaves_one_event(scene: psycopg.Connection) -> None:
    with scene.transaction(force_rollback=True):
        for _ in range(2):
            call(scene, ANN, "sign_mortgage_contract", contract_id="contract", signer="borrower")
        call(scene, BEN, "sign_mortgage_contract", contract_id="contract", signer="lender")
        call(scene, NORA, "sign_mortgage_contract", contract_id="contract", signer="notary")
        assert [event for event in log(scene).values() if event.type == "mortgage.sign"] == [
            signed("ann", "borrower"),
            signed("ben", "lender"),
            signed("nora", "notary", "signed"),
        ]


def test_an_offer_that_is_not_accepted_leaves_no_event(scene: psycopg.Connection) -> None:
    with scene.transaction(force_rollback=True):
        call(scene, BEN, "offer_mortgage", application_id="app", offer_id="other")
        call(scene, ANN, "accept_mortgage_offer", offer_id="offer")
        assert one(as_operator(scene), "select status from public.mortgage_offers where id = 'other'") == "withdrawn"
        assert [e.subject_id for e in log(scene).values() if e.type == "mortgage.accept"] == ["offer-2", "offer"]


def test_the_claims_of_an_operator_session_name_the_actor(scene: psycopg.Connection) -> None:
    claims = Jsonb(NORA.claims())
    with scene.transaction(force_rollback=True):
        scene.execute("select set_config('request.jwt.claims', %s::text, true)", (claims,))
        scene.execute("update public.transfers set status = 'settled'")
        scene.execute("update public.presence_sessions set status = 'offline', silenced = true")
        scene.execute("update public.vouchers set status = 'expired'")
        actors = {(event.type, event.actor) for event in log(scene).values()}
    assert ("transfer.settled", "nora") in actors
    # an event of silence or expiry never names the operator
    assert {("presence.offline", "ann"), ("presence.offline", "ben"), ("voucher.expire", "ann")} <= actors
    assert not {("presence.offline", "nora"), ("voucher.expire", "nora")} & actors


def test_the_log_contains_nothing_sensitive(scene: psycopg.Connection) -> None:
    """Secrets, notes and free JSON stay in the columns that hold them."""
    marker, secret = "SENSITIVE", {"note": "SENSITIVE"}
    with scene.transaction(force_rollback=True):
        scene.execute("update public.thinkers set meta = %s, verified_at = now()", (Jsonb(secret),))
        call(
            scene, ANN, "issue_voucher", voucher_id="new", title=marker, description=marker, terms=secret,
            valid_from="2030-01-07 09:00Z", valid_until="2030-01-07 18:00Z", allowed_slots=[marker],
        )  # fmt: skip
        call(scene, BEN, "book_voucher", voucher_id="new", slot_start="2030-01-07 09:00Z")
        call(scene, BEN, "cancel_booking", voucher_id="new")
        as_operator(scene).execute("update public.vouchers set status = 'expired'")
        call(scene, ANN, "send_heartbeat")
        room = call(scene, ANN, "match_presence", pair_code="familie")["room_id"]
        call(scene, ANN, "join_room", room_id=room, notice=marker)
        call(scene, ANN, "send_heartbeat", status="offline")
        call(scene, ANN, "apply_for_mortgage", application_id="new", meta=secret)
        call(
            scene, BEN, "offer_mortgage", application_id="new", offer_id="new", loan=secret, interest=secret,
            repayment=secret, fees=secret, validity=secret, terms_ref=secret, room_refs=secret,
        )  # fmt: skip
        call(scene, ANN, "accept_mortgage_offer", offer_id="new")
        as_operator(scene).execute(SIGNED_BY_ALL)
        call(scene, Actor("service_role", "ann"), "record_contract", **DOCUMENT | {"name": marker})
        call(
            scene, ANN, "log_transfer", direction="in", crypto_amount=1, crypto_symbol="ETH", fiat_major=1,
            fiat_currency="EUR", label=marker, network=marker, external_account=marker, meta=secret,
        )  # fmt: skip
        as_operator(scene).execute("update public.transfers set status = 'settled'")
        reported = [{"type": "page.view", "path": f"/x{mark}access_token={marker}", "meta": secret} for mark in "?#"]
        call(scene, ANN, "record_telemetry", events=reported)
        as_operator(scene).execute("update public.fees set meta = %s, active = not active", (Jsonb(secret),))
        call(scene, SERVER, "adjust_fee", fee_event_id=UUID(CHARGE), amount_cents=-1, reason="goodwill")
        call(scene, SERVER, "invoice_settlement", settlement_id=UUID(OPEN))
        call(scene, SERVER, "write_off_settlement", settlement_id=UUID(OPEN), reason="bankrupt")
        call(scene, SERVER, "pay_settlement", settlement_id=UUID(INVOICED))
        call(scene, SERVER, "settle_fees", period_from=date(2026, 1, 1), period_to=date(9999, 1, 1))
        voided = one(as_operator(scene), "select id from public.settlements where status = 'open'")
        call(scene, SERVER, "void_settlement", settlement_id=voided)
        call(scene, SERVER, "reverse_fee", fee_event_id=UUID(CHARGE), reason="nobody came")
        release(scene)
        as_operator(scene).execute("update public.thinkers set verified_at = null where public_id = 'nora'")
        as_operator(scene).execute("select private.erase_thinker('nora')")

        found = log(scene).values()
    # and changes that no function makes (test_changes.py)
    assert {event.type for event in found} >= {event.type for write in WRITES for event in write.events}
    assert [event for event in found if marker in repr(event) or "DE0212" in repr(event)] == []


def test_a_manual_change_of_a_transfer_sets_updated_at(scene: psycopg.Connection) -> None:
    with scene.transaction(force_rollback=True):
        scene.execute("update public.transfers set status = 'settled'")
        assert one(scene, "select updated_at > created_at from public.transfers") is True
        scene.execute("update public.transfers set created_at = '9999-01-01Z', updated_at = '9999-01-01Z'")
        assert one(scene, "select updated_at = created_at from public.transfers") is True


def test_a_transfer_younger_than_the_transaction_can_be_changed(database: str) -> None:
    insert = (
        "insert into public.transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label) "
        "values ('t', 'in', 1, 'ETH', 1, 'EUR', 'l')"
    )
    with psycopg.connect(database) as earlier, psycopg.connect(database, autocommit=True) as later:
        began = one(earlier, "select now()")
        later.execute(insert)
        earlier.execute("update public.transfers set status = 'settled'")
        earlier.commit()
        assert one(later, "select created_at > %s and updated_at > created_at from public.transfers", began) is True


def test_a_cancelled_booking_stays_cancelled(scene: psycopg.Connection) -> None:
    with scene.transaction(force_rollback=True):
        call(scene, BEN, "cancel_booking", booking_id="booking")
        with pytest.raises(psycopg.Error) as refused, scene.transaction():
            as_operator(scene).execute(
                "update public.voucher_bookings set status = 'booked', cancelled_at = null, cancel_reason = null"
            )
        assert (refused.value.sqlstate, refused.value.diag.message_primary) == ("PT409", "booking_is_cancelled")
        # the reason of the cancellation can be corrected
        as_operator(scene).execute("update public.voucher_bookings set cancel_reason = 'a typo' where id = 'booking'")
        assert [event.subject_id for event in log(scene).values() if event.type == "voucher.cancel"] == ["booking"]
