"""What is written past the functions leaves an event: what was there before, what after, and who did it."""

import json
from typing import Any, LiteralString

import psycopg
import pytest

from api.actor import SERVER
from tests.support.acting import be_operator, call, one, thinker

ANN, BEN, ADMIN = thinker("ann"), thinker("ben"), thinker("ann", "admin")
IBAN = "DE02120300000000202051"

# a statement, the subject of its event, and what changed
CHANGES: list[tuple[LiteralString, tuple[str, str], dict[str, tuple[object, object]]]] = [
    (
        "update public.vouchers set price_amount = 5, price_currency = 'CHF', title = 'x' where id = 'open'",
        ("voucher", "open"),
        {"price_amount": (None, 5), "price_currency": (None, "CHF"), "title": ("Unbenannter Service", "x")},
    ),
    (
        "update public.vouchers set terms = '{\"pin\": 4711}' where id = 'open'",
        ("voucher", "open"),
        {"terms": ("…", "…")},
    ),
    (
        "update public.vouchers set description = repeat('x', 2000) where id = 'open'",
        ("voucher", "open"),
        {"description": ("", "x" * 1000 + "…")},
    ),
    (
        "update public.vouchers set status = 'consumed' where id = 'open'",
        ("voucher", "open"),
        {"status": ("issued", "consumed")},
    ),
    (
        "update public.thinkers set roles = '{admin,lender}' where public_id = 'ann'",
        ("thinker", "ann"),
        {"roles": ([], ["admin", "lender"])},
    ),
    (
        "update public.thinkers set meta = '{\"a\": 1}' where public_id = 'ann'",
        ("thinker", "ann"),
        {"meta": ("…", "…")},
    ),
    (
        "update private.settings set bookings_a_day = 7, past_bookings = true",
        ("settings", "true"),
        {"bookings_a_day": (5000, 7), "past_bookings": (False, True)},
    ),
    (
        "update private.jobs set schedule = '0 5 * * *' where name = 'expire-vouchers'",
        ("job", "expire-vouchers"),
        {"schedule": ("*/5 * * * *", "0 5 * * *")},
    ),
    (
        "update public.voucher_templates set default_duration = 5 where id = 'therapy'",
        ("voucher_template", "therapy"),
        {"default_duration": (50, 5)},
    ),
    (
        "update public.voucher_bookings set cancel_reason = 'typo' where id = 'cancelled'",
        ("voucher_booking", "cancelled"),
        {"cancel_reason": (None, "typo")},
    ),
    (
        f"update public.transfers set fiat_amount = 2, external_account = '{IBAN}1' where id = 'transfer'",
        ("transfer", "transfer"),
        {"fiat_amount": (1, 2), "external_account": ("…", "…")},
    ),
    (
        "update public.mortgage_applications set max_interest = 0.04 where id = 'app'",
        ("mortgage_application", "app"),
        {"max_interest": (None, 0.04)},
    ),
    (
        "update public.mortgage_applications set status = 'rejected' where id = 'app'",
        ("mortgage_application", "app"),
        {"status": ("open", "rejected")},
    ),
    (
        "update public.mortgage_offers set status = 'withdrawn' where id = 'offer'",
        ("mortgage_offer", "offer"),
        {"status": ("open", "withdrawn")},
    ),
    (
        "update public.mortgage_offers set loan_amount = 5, loan_currency = 'EUR' where id = 'offer'",
        ("mortgage_offer", "offer"),
        {"loan_amount": (None, 5), "loan_currency": (None, "EUR")},
    ),
    (
        "update public.rooms set owner_id = null, type = 'file' where id = 'room'",
        ("room", "room"),
        {"type": ("mixed", "file")},
    ),
    (
        "update public.properties set address = 'Gasse 1' where id = 'house'",
        ("property", "house"),
        {"address": (None, "Gasse 1")},
    ),
]


@pytest.fixture(autouse=True)
def _more_rows(scene: psycopg.Connection) -> Any:
    """What the scene lacks, taken back after the test."""
    with scene.transaction(force_rollback=True):
        scene.execute(
            "insert into public.rooms (id) values ('room'); insert into public.properties (id) values ('house');"
            " insert into public.voucher_bookings"
            " (id, voucher_id, issuer_id, holder_id, slot_start, slot_end, status, cancelled_at)"
            " select 'cancelled', voucher_id, issuer_id, holder_id, slot_start, slot_end, 'cancelled', now()"
            " from public.voucher_bookings where id = 'booking'"
        )
        yield


def new_events(scene: psycopg.Connection, statement: LiteralString) -> list[tuple[Any, ...]]:
    """Carries the statement out, and returns type, actor, subject and meta of the new events."""
    known = scene.execute("select id from public.events").fetchall()
    scene.execute(statement)
    return scene.execute(
        "select e.type, t.public_id, e.subject_type, e.subject_id, e.meta from public.events e"
        " left join public.thinkers t on t.id = e.actor_id where e.id <> all (%s)",
        ([id_ for (id_,) in known],),
    ).fetchall()


@pytest.mark.parametrize(("statement", "subject", "changed"), CHANGES, ids=lambda value: str(value)[:50])
def test_a_change_by_hand_is_logged(
    scene: psycopg.Connection,
    statement: LiteralString,
    subject: tuple[str, str],
    changed: dict[str, tuple[object, object]],
) -> None:
    [event] = new_events(scene, statement)
    meta = {
        "before": {name: values[0] for name, values in changed.items()},
        "after": {name: values[1] for name, values in changed.items()},
        "by": one(scene, "select session_user"),
    }
    assert event == (f"{subject[0]}.changed", None, *subject, meta)
    # again it changes nothing
    assert new_events(scene, statement) == []


def test_the_acting_admin_is_the_actor(scene: psycopg.Connection) -> None:
    scene.execute("select set_config('request.jwt.claims', %s, true)", (json.dumps(ADMIN.claims()),))
    [event] = new_events(scene, "update public.vouchers set title = 'x' where id = 'open'")
    assert (event[1], event[4]["by"]) == ("ann", "ann")
    be_operator(scene)


def test_a_new_thinker_with_roles_is_logged(scene: psycopg.Connection) -> None:
    insert: LiteralString = (
        "insert into public.thinkers (id, public_id, roles) values (private.thinker_id('n'), 'n', '{}')"
    )
    assert new_events(scene, insert) == []
    [event] = new_events(
        scene, "insert into public.thinkers (id, public_id, roles) values (private.thinker_id('m'), 'm', '{admin}')"
    )
    assert event[:4] == ("thinker.changed", None, "thinker", "m")
    assert (event[4]["before"], event[4]["after"]["roles"]) == (None, ["admin"])


def test_a_deletion_is_logged_with_what_was_there(scene: psycopg.Connection) -> None:
    [event] = new_events(scene, "delete from public.vouchers where id = 'open'")
    assert event[:4] == ("voucher.deleted", None, "voucher", "open")
    meta = event[4]
    assert (meta["after"], meta["before"]["title"], meta["before"]["terms"]) == (None, "Unbenannter Service", "…")
    columns = "select attname from pg_attribute where attrelid = 'public.vouchers'::regclass and attnum > 0"
    assert list(meta["before"].keys() ^ {name for (name,) in scene.execute(columns)}) == []


@pytest.mark.parametrize("table", ["private.settings", "private.jobs cascade", "public.rooms cascade",
                                   "public.voucher_templates", "public.vouchers cascade"])  # fmt: skip
def test_rows_are_not_truncated(scene: psycopg.Connection, table: LiteralString) -> None:
    with pytest.raises(psycopg.Error, match="append_only"), scene.transaction():
        scene.execute(f"truncate {table}".encode())


@pytest.mark.parametrize(
    "change",
    [
        "id = 'other'",
        "voucher_id = 'open'",
        "issuer_id = holder_id",
        "holder_id = issuer_id",
        "slot_start = slot_start - interval '1 minute'",
        "slot_end = slot_end + interval '1 minute'",
        "created_at = created_at - interval '1 minute'",
    ],
)
def test_a_booking_stays_as_it_was_made(scene: psycopg.Connection, change: str) -> None:
    with pytest.raises(psycopg.Error, match="append_only"), scene.transaction():
        scene.execute(f"update public.voucher_bookings set {change} where id = 'booking'".encode())


def test_two_kinds_of_a_change_are_two_events(scene: psycopg.Connection) -> None:
    events = new_events(scene, "update public.vouchers set status = 'consumed', title = 'x' where id = 'open'")
    assert sorted(tuple(event[4]["after"].items()) for event in events) == [
        (("status", "consumed"),),
        (("title", "x"),),
    ]


def test_the_functions_leave_no_second_event(scene: psycopg.Connection) -> None:
    query: LiteralString = (
        "select count(*) from public.events where type ~ 'changed|deleted' and subject_type not in ('fee', 'thinker')"
    )
    call(scene, BEN, "book_voucher", voucher_id="open", slot_start="2030-01-07 09:00Z")
    call(scene, BEN, "cancel_booking", voucher_id="open")
    call(scene, SERVER, "cancel_booking", booking_id="booking")
    call(scene, BEN, "offer_mortgage", application_id="app", offer_id="new")
    call(scene, ANN, "accept_mortgage_offer", offer_id="offer")
    for actor, signer in (ANN, "borrower"), (BEN, "lender"), (SERVER, "notary"):
        call(scene, actor, "sign_mortgage_contract", contract_id="contract", signer=signer)
    be_operator(scene)
    scene.execute("select private.job_expire_vouchers()")
    assert one(scene, query) == 0
