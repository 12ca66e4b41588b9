"""Amounts beyond every integer, and more currencies, networks and names than a chart can show."""

import json
from datetime import timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.actor import SERVER
from tests.stats.reckoning import DAY
from tests.stats.test_empty import FUNCTIONS, insert
from tests.support.acting import call, one, thinker, unchecked
from tests.support.days import portal_today
from tests.support.serving import Connection

pytestmark = [pytest.mark.clock, pytest.mark.slow]

SAFE = 2**53 - 1
MANY = 5000

COLUMNS = "id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, network"
TRANSFER = f"insert into public.transfers ({COLUMNS})"
ROUTES = ("presence", "vouchers", "mortgages", "telbank", "fees", "system")


def huge(connection: psycopg.Connection) -> None:
    """Rows with the largest amount, so many that their sum exceeds 64 bits."""
    assert MANY * SAFE > 2**63
    with unchecked(connection):
        connection.execute(
            f"{TRANSFER} select d || n, d, 1, 'E', {SAFE} * f, 'EUR', '', null"
            f" from generate_series(1, {MANY}) n, (values ('in', 1), ('out', -1)) s (d, f)"
        )
        connection.execute(
            "insert into public.vouchers (id, issuer_id, valid_from, valid_until, price_amount, price_currency)"
            f" select 'v', id, now(), now() + interval '1 year', {SAFE}, 'EUR' from public.thinkers limit 1"
        )
        connection.execute(
            "insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end,"
            "   price_amount, price_currency)"
            " select 'b' || n, 'v', id, private.new_uuid(), now() + n * interval '1 hour',"
            f"   now() + (n + 1) * interval '1 hour', {SAFE}, 'EUR'"
            f" from public.thinkers, generate_series(1, {MANY}) n"
        )
        connection.execute(
            "insert into public.mortgage_applications (id, borrower_id, desired_loan, currency)"
            f" select 'a' || n, id, {SAFE}, 'EUR' from public.thinkers, generate_series(1, {MANY}) n"
        )
        connection.execute(
            "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
            " base_cents, rate, fixed_cents, unrounded)"
            f" select 'voucher.booking', 'transfer', 't' || n, {2**63 - 1}, 'EUR', id, 0, 0, {2**63 - 1}, {2**63 - 1}"
            f" from public.thinkers, generate_series(1, {MANY}) n"
        )
        connection.execute(
            "insert into public.settlements (beneficiary_id, period_from, period_to, total_cents, currency)"
            f" select id, '2026-01-01', '2026-02-01', {2**63 - 1}, 'EUR' from public.thinkers, generate_series(1, 3)"
        )


def test_sums_beyond_every_integer(portal: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        huge(connection)
    with Connection(portal) as client:
        answers = {route: client.get(f"/api/admin/stats/{route}") for route in ROUTES}
    assert {answer.status for answer in answers.values()} == {200}
    bodies = {route: answer.body for route, answer in answers.items()}

    [total] = bodies["telbank"]["totals"]
    assert (total["transfers"], total["inCents"], total["outCents"]) == (2 * MANY, MANY * SAFE, -MANY * SAFE)
    assert total["netCents"] == 2 * MANY * SAFE
    [revenue] = bodies["vouchers"]["revenue"]
    assert revenue["amountCents"] == MANY * SAFE
    [requested] = bodies["mortgages"]["requested"]
    assert requested["amountCents"] == MANY * SAFE
    [owed] = bodies["fees"]["owed"]
    assert (owed["unsettledCents"], owed["openCents"]) == (MANY * (2**63 - 1), 3 * (2**63 - 1))
    assert owed["owedCents"] == (MANY + 3) * (2**63 - 1)
    [day] = bodies["fees"]["days"]
    assert day["chargedCents"] == MANY * (2**63 - 1)
    sums = (total["inCents"], revenue["amountCents"], requested["amountCents"], owed["owedCents"], day["chargedCents"])
    assert {type(number) for number in sums} == {int}


def test_the_24_most_used_currencies_and_networks(connection: psycopg.Connection) -> None:
    # currency n is used n times, in n networks; each network once more than there are currencies left
    with unchecked(connection):
        connection.execute(
            f"{TRANSFER} select c || '-' || n, 'in', 1, 'E', 1, 'junk' || c, '', 'network ' || n"
            " from generate_series(1, 60) c, generate_series(1, c) n"
        )
        connection.execute(
            f"{TRANSFER} select 'e' || n || '-' || k, 'out', 1, 'E', 1, 'EUR', '', nullif('network ' || n,"
            " 'network 60') from generate_series(1, 60) n, generate_series(1, n + 1) k"
        )
    answer = call(connection, SERVER, "telbank_stats")
    assert [t["currency"] for t in answer["totals"]] == ["EUR", *(f"JUNK{c}" for c in range(60, 37, -1))]
    networks = [None, *(f"network {n}" for n in range(59, 36, -1))]
    assert [(f["network"], f["currency"], f["transfers"]) for f in answer["flows"]] == [
        (network, "EUR", 61 - place) for place, network in enumerate(networks)
    ]
    assert {(d["network"], d["currency"]) for d in answer["days"]} == {(network, "EUR") for network in networks}
    assert len(answer["days"]) == 24
    # the views leave nothing out
    assert one(connection, "select count(distinct currency) from stats.transfers_by_day") == 61


def test_the_24_most_used_currencies_of_revenue_loans_and_fees(connection: psycopg.Connection) -> None:
    with unchecked(connection):
        connection.execute(
            "insert into public.vouchers (id, issuer_id, valid_from, valid_until, price_amount, price_currency)"
            " select 'v' || c, id, now(), now() + interval '1 year', 1, 'JUNK' || c"
            " from public.thinkers, generate_series(1, 60) c"
        )
        connection.execute(
            "insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end,"
            " price_amount, price_currency, created_at) select 'b' || c || '-' || n, 'v' || c, id, private.new_uuid(),"
            "   now() + n * interval '1 hour', now() + (n + 1) * interval '1 hour', 1, 'JUNK' || c,"
            "   now() - n % 2 * interval '1 day'"
            " from public.thinkers, generate_series(1, 60) c, generate_series(1, c) n"
        )
        connection.execute(
            "insert into public.mortgage_applications (id, borrower_id, desired_loan, currency)"
            " select 'a' || c || '-' || n, id, 1, 'JUNK' || c"
            " from public.thinkers, generate_series(1, 60) c, generate_series(1, c) n"
        )
        connection.execute(
            "insert into public.fees (id, scope) select 'fee ' || n, 'transfer' from generate_series(1, 5) n"
        )
        connection.execute(
            "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
            " base_cents, rate, fixed_cents, unrounded)"
            " select 'fee ' || f, 'transfer', 't' || n, 1, 'JUNK' || c, id, 0, 0, 1, 1"
            " from public.thinkers, generate_series(1, 60) c, generate_series(1, c) n, generate_series(1, 5) f"
        )
    most = [f"JUNK{c}" for c in range(60, 36, -1)]
    # days before the portal existed are left out; there is one more if it is midnight meanwhile
    from_day = portal_today(connection) - 2 * DAY
    vouchers = call(connection, SERVER, "voucher_stats", from_day=from_day)
    assert [r["currency"] for r in vouchers["revenue"]] == most
    assert {r["currency"] for r in vouchers["revenue_days"]} == set(most)
    assert sum(r["bookings"] for r in vouchers["revenue_days"]) == sum(range(37, 61))
    assert vouchers["bookings"] == sum(range(1, 61))
    assert [r["currency"] for r in call(connection, SERVER, "mortgage_stats")["requested"]] == most
    fees = call(connection, SERVER, "fee_stats")
    assert {d["currency"] for d in fees["days"]} == set(most)
    # 60 currencies of one beneficiary, but 300 of five fees
    assert [(len(fees[name])) for name in ("owed", "charged", "fees")] == [60, 60, 100]
    assert {f["currency"] for f in fees["fees"]} == set(most[:20])


def test_no_debt_is_left_out(connection: psycopg.Connection) -> None:
    with unchecked(connection):
        connection.execute(
            "insert into public.settlements (beneficiary_id, period_from, period_to, total_cents, currency)"
            " select id, '2026-01-01', '2026-02-01', c, 'JUNK' || c from public.thinkers, generate_series(1, 150) c"
        )
    owed = call(connection, SERVER, "fee_stats")["owed"]
    assert [o["owed_cents"] for o in owed] == list(range(150, 0, -1))


def test_the_100_largest_receivables(connection: psycopg.Connection) -> None:
    with unchecked(connection):
        connection.execute(
            "insert into public.thinkers (id, public_id)"
            " select private.thinker_id('payer ' || n), 'payer ' || n from generate_series(1, 130) n"
        )
        connection.execute(
            "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
            " payer_id, base_cents, rate, fixed_cents, unrounded)"
            " select 'voucher.booking', 'transfer', 't' || n, n, 'EUR', private.thinker_id('togethersystems'),"
            "   private.thinker_id('payer ' || n), 0, 0, n, n from generate_series(1, 130) n"
        )
    answer = call(connection, SERVER, "fee_stats")
    assert [(r["payer_uid"], r["owed_cents"]) for r in answer["receivables"]] == [
        (f"payer {n}", n) for n in range(130, 30, -1)
    ]
    # the beneficiary's sum has all of them
    assert [o["owed_cents"] for o in answer["owed"]] == [sum(range(1, 131))]


def test_the_20_most_used_pair_codes_and_the_100_most_frequent_types(connection: psycopg.Connection) -> None:
    with unchecked(connection):
        connection.execute(
            "insert into public.thinkers (id, public_id)"
            " select private.thinker_id(c || '-' || n), c || '-' || n"
            " from generate_series(1, 25) c, generate_series(1, c) n"
        )
        connection.execute(
            "insert into public.presence_sessions (thinker_id, pair_code)"
            " select private.thinker_id(c || '-' || n), repeat('ä', 200) || c"
            " from generate_series(1, 25) c, generate_series(1, c) n"
        )
        connection.execute(
            "insert into public.events (type) select 'type ' || t from generate_series(1, 130) t, generate_series(1, t)"
        )
    presence = call(connection, SERVER, "presence_stats")
    assert [(p["sessions"], p["online"]) for p in presence["pair_codes"]] == [(n, n) for n in range(25, 5, -1)]
    system = call(connection, SERVER, "system_stats")
    assert [(t["type"], t["events"]) for t in system["types"]] == [(f"type {n}", n) for n in range(130, 30, -1)]
    # the days count all of them
    assert system["days"][-1]["events"] == sum(range(1, 131))


def test_long_networks_make_no_large_answer(connection: psycopg.Connection) -> None:
    with unchecked(connection):
        connection.execute(
            f"{TRANSFER} select 't' || n, 'in', 1, 'E', n, 'EUR', '', rpad(n || ' ', 4096, 'network ')"
            " from generate_series(1, 30) n"
        )
    answer = call(connection, SERVER, "telbank_stats")
    assert [len(answer[name]) for name in ("totals", "flows", "days")] == [1, 24, 24]
    assert {len(row["network"]) for name in ("flows", "days") for row in answer[name]} == {200}
    assert len(json.dumps(answer, default=str)) < 20_000


@pytest.mark.parametrize("function", FUNCTIONS)
def test_three_years_of_all_data_make_no_large_answer(world: psycopg.Connection, function: str) -> None:
    answer = call(world, SERVER, function, from_day=portal_today(world) - 1095 * DAY)
    assert len(json.dumps(answer, default=str)) < 200_000


def test_a_cancelled_voucher_offers_nothing(connection: psycopg.Connection) -> None:
    for kind in ("voucher", "booking"):
        insert(connection, kind, timedelta(hours=1))
    assert len(call(connection, SERVER, "voucher_stats")["templates"]) == 1
    with unchecked(connection):
        connection.execute("update public.vouchers set status = 'cancelled'")
    answer = call(connection, SERVER, "voucher_stats")
    assert (answer["templates"], answer["vouchers"]["cancelled"]) == ([], 1)


def test_a_voucher_counts_for_the_template_that_its_terms_name(connection: psycopg.Connection) -> None:
    voucher = call(connection, thinker("anna"), "issue_voucher", terms={"template": "viewing"})
    connection.execute("update public.vouchers set valid_until = valid_from + interval '2 hours'")
    counted = "select array_agg(distinct template_id) from stats.utilisation_by_day"
    assert one(connection, counted) == ["viewing"]
    for template, expected in (("later", [None]), ("therapy", ["therapy"]), (None, [None]), ("x" * 256, [None])):
        terms = Jsonb({"template": template})
        connection.execute("update public.vouchers set terms = %s where id = %s", (terms, voucher["id"]))
        assert one(connection, counted) == expected
    connection.execute("update public.vouchers set terms = %s", (Jsonb({"template": "later"}),))
    connection.execute(
        "insert into public.voucher_templates (id, service_type, title, default_duration) values ('later', 's', 't', 1)"
    )
    assert one(connection, counted) == ["later"]
