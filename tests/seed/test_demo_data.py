"""The demo data is plausible, keeps the rules, and is inserted once."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from api.actor import SERVER
from api.database.migrations import SEED, migrate, seed
from api.errors import PortalError
from tests.seed.conftest import dump, seed_at
from tests.support.acting import call, one, thinker
from tests.support.charging import violations
from tests.support.databases import Server
from tests.support.parallel import at_once
from tests.support.stress import sized
from tests.support.usage import tables

pytestmark = pytest.mark.clock

BERLIN = ZoneInfo("Europe/Berlin")
HISTORY = "\n-- Three months of history"
WEDNESDAY = 2  # as datetime.weekday() counts


def rows(connection: psycopg.Connection, query: str) -> list[Any]:
    return connection.execute(query.encode()).fetchall()


def test_seeding_twice_inserts_once(server: Server, seeded: str) -> None:
    with server.database(template=seeded) as url:
        once = dump(url)
        seed(url)
        assert dump(url) == once


def test_seeding_twice_at_once_inserts_once(database: str) -> None:
    at_once([partial(seed, database)] * 2)
    with psycopg.connect(database) as connection:
        assert one(connection, "select count(*) from public.vouchers where id = 'v-demo-consulting'") == 1
        assert violations(connection) == {}


def test_a_database_with_the_old_demo_data_gets_the_history_too(database: str, tmp_path: Path) -> None:
    old = tmp_path / "old.sql"
    old.write_text(SEED.read_text().partition(HISTORY)[0])
    seed(database, old)
    before = dump(database)
    # roles, and the portal's first day, belong to the history
    del before["thinkers"]
    assert any("v-demo-consulting" in row for row in before["vouchers"])

    seed(database)
    after = dump(database)
    for table, of_table in before.items():
        assert Counter(of_table) <= Counter(after[table]), table
    assert len(after["voucher_bookings"]) > 500
    seed(database)
    assert dump(database) == after


def test_named_rows_exist(connection: psycopg.Connection) -> None:
    assert one(connection, "select count(*) from vouchers where id = any (%s)", [
        f"v-demo-{template}" for template in ("consulting", "therapy", "viewing", "machine", "membership")
    ]) == 5  # fmt: skip
    assert one(connection, "select status from mortgage_applications where id = 'app-demo-1'") == "accepted"
    assert one(connection, "select status from mortgage_offers where id = 'mort-offer-demo-1'") == "accepted"
    assert rows(connection, "select public_id from thinkers where public_id not like 'demo-%'") == [
        ("togethersystems",)
    ]


def moments() -> list[datetime]:
    """Returns now, and moments of the last year at which calculating with days is likely to fail; usually some."""
    now = datetime.now(BERLIN)
    last = now.replace(day=1).date()

    def at(day: date, hour: int, minute: int = 5) -> datetime:
        return datetime.combine(day, time(hour, minute), BERLIN)

    def latest(month: int, day: int) -> date:
        return min(date(now.year, month, day), date(now.year - 1, month, day), key=lambda d: (d >= last, last - d))

    clock_changes = [
        day
        for n in range(366)
        if (day := last - timedelta(n + 1)).weekday() == 6 and at(day, 0).dst() != at(day, 12).dst()
    ]
    likely = [
        at(last, 0),
        *[at(day, 3) for day in clock_changes],
        at(latest(1, 1), 0),
        at(latest(3, 1), 12),
        at(latest(5, 31), 23, 55),
    ]
    return [now, *likely[: sized(usual=2, full=None)]]


NOT_SEEN_LAST = """
    select s.id from presence_sessions s where s.last_seen_at <> (
        select max(e.created_at) from events e where e.type = 'presence.heartbeat' and e.subject_id = s.id::text
    )
"""


@pytest.mark.parametrize("minutes", range(0, 180, sized(usual=180, full=20)))
def test_nobody_acts_after_its_last_presence(database: str, tmp_path: Path, minutes: int) -> None:
    # an evening on which somebody is always present
    evening = datetime.now(BERLIN).replace(hour=18, minute=10) - timedelta(days=1) + timedelta(minutes=minutes)
    seed_at(database, evening, tmp_path)
    with psycopg.connect(database) as connection:
        assert rows(connection, NOT_SEEN_LAST) == []


@pytest.mark.parametrize("moment", [pytest.param(moment, id=f"{moment:%Y-%m-%dT%H:%M}") for moment in moments()])
def test_the_demo_data_is_valid_at_any_time_of_the_year(database: str, tmp_path: Path, moment: datetime) -> None:
    # without the rows from before the history, which are about the coming days
    seed_at(database, moment, tmp_path, SEED.read_text().partition(HISTORY)[2])
    with psycopg.connect(database) as connection:
        assert violations(connection) == {}
        # each event is in the partition of its month
        assert one(connection, "select count(*) from private.events_default") == 0
        # only appointments and windows may lie ahead; rows of the migrations and of this run have the real time
        times = rows(
            connection,
            "select table_schema || '.' || table_name, column_name from information_schema.columns"
            " join pg_class on oid = format('%I.%I', table_schema, table_name)::regclass and relkind in ('r', 'p')"
            " where table_schema in ('public', 'private') and data_type = 'timestamp with time zone'"
            " and column_name not in ('valid_until', 'slot_start', 'slot_end')"
            " and (table_name, column_name) <> ('vouchers', 'valid_from')",
        )
        assert len(times) > 20
        for table, column in times:
            ahead = (
                f"select count(*) from {table} where {column} > %s and ({column} < %s or {column} > clock_timestamp())"
            )
            assert connection.execute(ahead.encode(), (moment, datetime.now(UTC) - timedelta(days=1))).fetchone() == (
                0,
            ), (table, column)
        assert {status for (status,) in rows(connection, "select status from settlements")} == {
            "open",
            "invoiced",
            "paid",
        }
        # all months except the last are paid where something is left to pay, but only a half of the francs
        this_month = moment.astimezone(BERLIN).date().replace(day=1)
        last_month = (this_month - timedelta(1)).replace(day=1)
        states = set(
            rows(connection, "select period_from, currency = 'CHF', status from settlements where total_cents <> 0")
        )
        assert {s for d, _, s in states if d == last_month} == {"invoiced", "open"}
        assert {(chf, s) for d, chf, s in states if d < last_month} == {(False, "paid"), (True, "invoiced")}
        assert this_month not in {d for d, *_ in states}
        assert {d for d, *_ in states if d < last_month} >= {(last_month - timedelta(1)).replace(day=1)}
        check_invoices(connection, moment.astimezone(BERLIN).date())


def check_invoices(connection: psycopg.Connection, today: date) -> None:
    """Asserts that due dates, numbers and payments follow from the days of the invoices, and that some are overdue."""
    connection.execute("set timezone = 'Europe/Berlin'")
    invoices = rows(
        connection,
        "select s.invoiced_at::date, s.due_on, s.number, s.status, e.meta ->> 'dueOn', e.meta ->> 'number'"
        " from settlements s join events e on e.type = 'settlement.invoiced' and e.subject_id = s.id::text",
    )
    payment_days = one(connection, "select payment_days from private.settings")
    assert payment_days == 30
    for day, due, number, _, logged_due, logged_number in invoices:
        assert due == day + timedelta(payment_days)
        assert number.startswith(f"{day.year}-")
        assert (logged_due, logged_number) == (str(due), number)
    assert [due < today for _, due, _, status, *_ in invoices if status == "invoiced"].count(True) > 0
    payments = rows(
        connection,
        "select p.paid_on = p.created_at::date, p.paid_on between s.invoiced_at::date and s.due_on,"
        " e.created_at = p.created_at, e.meta ->> 'paidOn' = p.paid_on::text"
        " from settlement_payments p join settlements s on s.id = p.settlement_id"
        " join events e on e.type = 'settlement.payment' and e.subject_id = s.id::text",
    )
    assert set(payments) == {(True, True, True, True)}


def test_the_same_moment_gives_the_same_rows(server: Server, migrated: str, tmp_path: Path) -> None:
    moment = datetime.now(UTC)
    dumps = []
    for _ in range(2):
        with server.database(template=migrated) as url:
            seed_at(url, moment, tmp_path)
            dumps.append(dump(url, moment))
    for table, of_table in dumps[0].items():
        # the moment of migration, which is before, does not count
        assert of_table == dumps[1][table], table


def history(url: str) -> dict[str, set[Any]]:
    """Returns what does not depend on the time of day: bookings and transfers as inserted, and their windows."""
    with psycopg.connect(url) as connection:
        connection.execute("set timezone = 'UTC'; set datestyle = 'ISO'")
        return {
            "vouchers": set(
                rows(connection, "select id, valid_from, valid_until from vouchers where id ~ '^v-demo-[0-9]'")
            ),
            "bookings": set(
                rows(
                    connection,
                    "select id, holder_id, slot_start, created_at from voucher_bookings where id like 'b-demo-%'",
                )
            ),
            "transfers": set(
                rows(connection, "select id, fiat_amount, created_at from transfers where id like '%-demo-%'")
            ),
            "fees": set(
                rows(
                    connection,
                    "select fee_id, subject_id, amount_cents, currency, created_at from fee_events"
                    " where subject_id like '%-demo-%' and reverses is null",
                )
            ),
        }


def test_the_same_day_gives_the_same_rows_whatever_the_hour_and_the_session(
    server: Server, migrated: str, tmp_path: Path
) -> None:
    yesterday = datetime.now(BERLIN).replace(hour=12, minute=0) - timedelta(days=1)
    # the demo is busiest on Wednesdays; an evening at the weekend may add no voucher
    noon = yesterday - timedelta(days=(yesterday.weekday() - WEDNESDAY) % 7)
    with server.database(template=migrated) as url:
        seed_at(url, noon, tmp_path)
        at_noon = history(url)
    with server.database(template=migrated) as url:
        other = make_conninfo(url, options="-c timezone=Pacific/Auckland -c datestyle=German,DMY")
        seed_at(other, noon + timedelta(hours=10), tmp_path)
        in_the_evening = history(url)
        with psycopg.connect(url) as connection:
            assert rows(connection, NOT_SEEN_LAST) == []
    for kind, at_first in at_noon.items():
        assert at_first, kind
        # an afternoon may have none of a kind
        assert at_first <= in_the_evening[kind], kind
    assert at_noon != in_the_evening


def test_append_only_tables_stay_append_only(connection: psycopg.Connection) -> None:
    assert rows(connection, "select tgrelid::regclass, tgname from pg_trigger where tgenabled <> 'O'") == []
    # every partition has the same triggers, those of past months too
    of_partitions = rows(
        connection,
        "select p.partition::text, array_agg(tgname::text order by tgname) from private.event_partitions() p"
        " left join pg_trigger on tgrelid = p.partition and not tgisinternal group by 1",
    )
    assert len(of_partitions) >= 8
    for _, triggers in of_partitions:
        assert triggers == ["tg_events__refuse", "tg_events__refuse_row"]

    past = rows(connection, "select tableoid::regclass::text, id from public.events order by created_at limit 1")
    for change in (
        "update public.events set created_at = now()",
        f"update {past[0][0]} set created_at = now() where id = '{past[0][1]}'",
        f"truncate {past[0][0]}",
        "update public.fee_events set created_at = now()",
        "update public.fee_versions set valid_from = now()",
        "update public.settlements set created_at = now()",
        "update public.settlement_payments set created_at = now()",
        "delete from public.voucher_bookings",
        "delete from public.transfers",
    ):
        with pytest.raises(psycopg.Error, match="append_only"), connection.transaction():
            connection.execute(change.encode())


def test_the_demo_data_changes_no_price(database: str, connection: psycopg.Connection) -> None:
    with psycopg.connect(database) as empty:
        before = rows(empty, "select * from public.fees order by id")
    assert rows(connection, "select * from public.fees order by id") == before
    # each charge has the price of its time
    untrue = """
        select e.* from public.fee_events e
        left join lateral (
            select v.* from public.fee_versions v
            where v.fee_id = e.fee_id and v.valid_from <= e.created_at order by v.valid_from desc limit 1
        ) v on true
        where e.reverses is null and e.subject_id like '%-demo-%'
            and (v.active, v.percentage, v.beneficiary_id) is distinct from (true, e.rate, e.beneficiary_id)
    """
    assert rows(connection, untrue) == []
    assert one(connection, "select count(distinct beneficiary_id) from public.fee_events") == 2


def test_fees_of_transfers_are_charged_in_the_demo_data(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update public.fees set active = true, percentage = 0.01 where id = 'transfer.logged'")
        before = rows(connection, "select * from public.fees order by id")
        seed(database)
        assert rows(connection, "select * from public.fees order by id") == before
        charged = (
            "select distinct rate, private.uid_of(beneficiary_id) from public.fee_events"
            " where fee_id = 'transfer.logged'"
        )
        assert [(float(rate), uid) for rate, uid in rows(connection, charged)] == [(0.01, "togethersystems")]
        assert violations(connection) == {}


@pytest.mark.parametrize("real", ["thinker", "transfer of nobody"])
def test_a_database_in_use_gets_no_history(database: str, real: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        if real == "thinker":
            call(connection, thinker("anna"), "send_heartbeat")
        else:
            amounts = {"crypto_amount": 1, "crypto_symbol": "ETH", "fiat_major": "1", "fiat_currency": "EUR"}
            call(connection, SERVER, "log_transfer", direction="in", **amounts)
        seed(database)
        assert one(connection, "select count(*) from public.transfers where id like '%%-demo-%%'") == 0
        assert one(connection, "select count(*) from public.settlements") == 0
        # the rows that the documentation shows are inserted anyway
        assert one(connection, "select count(*) from public.vouchers where id = 'v-demo-consulting'") == 1


def test_fees_of_other_thinkers_are_not_settled(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        anna = thinker("anna")
        call(
            connection, anna, "issue_voucher", voucher_id="v", price_amount=10000,
            valid_from="2030-01-07 09:00Z", valid_until="2030-01-07 18:00Z",
        )  # fmt: skip
        call(connection, thinker("ben"), "book_voucher", voucher_id="v", slot_start="2030-01-07 09:00Z")
        connection.execute("set session_replication_role = replica")
        connection.execute("update public.fee_events set created_at = now() - interval '40 days'")
        seed(database)
        assert rows(connection, "select * from public.settlements") == []
        assert rows(connection, "select * from public.fee_events where settlement_id is not null") == []


def seed_that_ends_with(statement: str) -> str:
    """Returns the demo data with a statement after all others."""
    head, end, tail = SEED.read_text().rpartition("end;\n$$;\n")
    assert tail == ""
    return f"{head}{statement}\n{end}"


def rows_and_triggers(url: str) -> tuple[dict[str, list[str]], list[Any]]:
    """Returns all rows, and the triggers of all tables and partitions."""
    with psycopg.connect(url) as connection:
        triggers = rows(connection, "select tgrelid::regclass::text, tgname, tgenabled from pg_trigger order by 1, 2")
    return dump(url), triggers


def test_a_failure_at_the_end_inserts_nothing(database: str, tmp_path: Path) -> None:
    file = tmp_path / "seed.sql"
    file.write_text(seed_that_ends_with("raise exception 'stop';"))
    before = rows_and_triggers(database)
    with pytest.raises(PortalError, match=r"seed\.sql failed"):
        seed(database, file)
    assert rows_and_triggers(database) == before


def test_the_history_is_one_transaction_where_each_statement_is_one(database: str) -> None:
    first, _, history = seed_that_ends_with("perform pg_terminate_backend(pg_backend_pid());").partition(HISTORY)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(first.encode())
        before = rows_and_triggers(database)
        with pytest.raises(psycopg.OperationalError):
            connection.execute(f"--{history}".encode())
    assert rows_and_triggers(database) == before


def test_an_owner_without_privileges_may_seed(server: Server) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        if one(connection, "select to_regrole('anon') is null"):
            connection.execute("create role anon; create role authenticated; create role service_role bypassrls")
            connection.execute("create role authenticator login noinherit; create role supabase_admin")
        connection.execute("create role plain_owner login createrole nosuperuser")
        connection.execute(
            "grant anon, authenticated, service_role, authenticator, supabase_admin to plain_owner with admin option"
        )
    name = server.create()
    try:
        with psycopg.connect(server.url(name), autocommit=True) as connection:
            connection.execute(f"alter database {name} owner to plain_owner".encode())
        url = make_conninfo(server.url(name), user="plain_owner")
        migrate(url)
        seed(url)
        with psycopg.connect(url) as connection:
            assert one(connection, "select rolsuper from pg_roles where rolname = current_user") is False
            assert violations(connection) == {}
            assert one(connection, "select count(*) from public.settlements") > 10
            assert rows(connection, "select tgname from pg_trigger where tgenabled <> 'O'") == []
    finally:
        server.drop(name)
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("drop owned by plain_owner")
            connection.execute("drop role plain_owner")


def test_there_are_enough_rows(connection: psycopg.Connection) -> None:
    def count(query: str) -> Any:
        return connection.execute(f"select count(*) from {query}".encode()).fetchone()[0]  # type: ignore[index]

    assert 40 <= count("thinkers") <= 65
    assert 300 <= count("vouchers") <= 500
    assert 700 <= count("voucher_bookings") <= 1300
    assert 0.07 < count("voucher_bookings where status = 'cancelled'") / count("voucher_bookings") < 0.17
    assert 20 <= count("mortgage_applications") <= 40
    assert count("mortgage_contracts where status = 'signed'") > 5
    assert 200 <= count("transfers") <= 320
    assert 3000 < count("events where type = 'presence.heartbeat'") < 20000
    assert count("events where type = 'presence.match'") > 200
    assert 3 < count("telemetry_events where type ~ 'error'") < 40
    currencies = Counter(currency for (currency,) in rows(connection, "select price_currency from vouchers"))
    assert set(currencies) == {"EUR", "CHF", "USD", "JPY", None}
    assert currencies["EUR"] > currencies.total() / 2
    flows = set(rows(connection, "select network, fiat_currency from transfers"))
    assert {network for network, _ in flows} == {"Ethereum Mainnet", "Polygon", "Bitcoin", None}
    assert {currency for _, currency in flows} == {"EUR", "USD", "CHF", "JPY"}
    for table, statuses in (
        ("vouchers", {"issued", "booked", "consumed", "cancelled", "expired"}),
        ("mortgage_applications", {"open", "offered", "accepted", "rejected"}),
        ("mortgage_offers", {"open", "accepted", "withdrawn"}),
        ("transfers", {"logged", "settled"}),
    ):
        assert {status for (status,) in rows(connection, f"select status from {table}")} == statuses


def test_weeks_have_a_rhythm_and_numbers_grow(connection: psycopg.Connection) -> None:
    connection.execute("set timezone = 'Europe/Berlin'")
    days = Counter(
        day for (day,) in rows(connection, "select created_at::date from voucher_bookings where id like 'b-demo-%'")
    )
    today = datetime.now(BERLIN).date()
    weeks = [sum(days[today - timedelta(7 * week + day)] for day in range(1, 8)) for week in range(13)]
    assert min(weeks) > 10
    assert sum(weeks[:4]) > 1.2 * sum(weeks[-4:])
    workdays, weekend = (
        sum(n for day, n in days.items() if (day.weekday() > 4) == is_weekend) for is_weekend in (False, True)
    )
    assert weekend / 2 < 0.5 * workdays / 5
    hours = (
        "select count(*) from events"
        " where type = 'presence.heartbeat' and extract(hour from created_at) between {} and {}"
    )
    [(evening,)], [(morning,)] = (rows(connection, hours.format(*of)) for of in ((17, 22), (7, 12)))
    assert evening > 1.5 * morning


def test_appointments_are_on_the_grid_and_nobody_acts_before_its_first_day(connection: psycopg.Connection) -> None:
    connection.execute("set timezone = 'Europe/Berlin'")
    for wrong in (
        "select b.id from voucher_bookings b join vouchers v on v.id = b.voucher_id"
        " where not exists (select from private.slots_of(v, b.slot_start, b.slot_start))"
        " or b.slot_end <> b.slot_start + make_interval(mins => v.duration_minutes)",
        "select b.id from voucher_bookings b join vouchers v on v.id = b.voucher_id where b.created_at < v.created_at"
        " or b.created_at >= b.slot_start or b.cancelled_at > b.slot_start",
        "select v.id from vouchers v join thinkers t on t.id = v.issuer_id where t.created_at > v.created_at",
        "select b.id from voucher_bookings b join thinkers t on t.id = b.holder_id where t.created_at > b.created_at",
        "select x.id from transfers x join thinkers t on t.id = x.thinker_id where t.created_at > x.created_at",
        "select e.id from events e join thinkers t on t.id = e.actor_id where t.created_at > e.created_at",
        "select o.id from mortgage_offers o join mortgage_applications a on a.id = o.application_id"
        " where o.created_at < a.created_at",
        "select c.id from mortgage_contracts c join mortgage_offers o on o.id = c.offer_id"
        " where c.created_at < o.created_at"
        " or least(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at) < c.created_at",
        "select e.id from fee_events e join fee_events c on c.id = e.reverses where e.created_at < c.created_at",
        "select s.id from settlements s where s.created_at < s.period_to or s.invoiced_at < s.created_at"
        " or s.created_at > s.period_to + interval '3 days' or s.paid_at > s.period_to + interval '15 days'"
        " or s.paid_at < s.invoiced_at",
        # what corrects a charge may be settled with it
        "select e.id from fee_events e join settlements s on s.id = e.settlement_id"
        " left join fee_events c on c.id = e.reverses"
        " where (e.created_at at time zone 'Europe/Berlin')::date not between s.period_from and s.period_to - 1"
        " and (c.created_at at time zone 'Europe/Berlin')::date between s.period_from and s.period_to - 1 is not true",
    ):
        assert rows(connection, wrong) == [], wrong


def test_events_have_the_times_of_their_rows(connection: psycopg.Connection) -> None:
    said = """
        select 'voucher.issue' as type, id, created_at as at from vouchers
        union all select 'voucher.book', id, created_at from voucher_bookings
        union all select 'voucher.cancel', id, cancelled_at from voucher_bookings where status = 'cancelled'
        union all select 'transfer.logged', id, created_at from transfers
        union all select 'transfer.settled', id, updated_at from transfers where status = 'settled'
        union all select 'mortgage.application', id, created_at from mortgage_applications
        union all select 'mortgage.offer', id, created_at from mortgage_offers
        union all select 'mortgage.accept', offer_id, created_at from mortgage_contracts
        union all select 'telemetry.event', id, created_at from telemetry_events
        union all select 'presence.verify', public_id, verified_at from thinkers
        union all select 'voucher.expire', id, valid_until + interval '4 minutes' from vouchers
        union all select 'settlement.created', id::text, created_at from settlements
        union all select 'settlement.invoiced', id::text, invoiced_at from settlements where invoiced_at is not null
        union all select 'settlement.paid', id::text, paid_at from settlements where paid_at is not null
    """
    wrong = f"""
        select e.type, e.subject_id, e.created_at, said.at from events e join ({said}) said
        on said.type = e.type and said.id = e.subject_id
        where abs(extract(epoch from said.at - e.created_at)) > 1
    """
    assert rows(connection, wrong) == []
    signed = """
        select e.subject_id from events e join mortgage_contracts c on c.id = e.subject_id
        where e.type = 'mortgage.sign' and e.created_at <> case e.meta ->> 'signer'
            when 'borrower' then c.borrower_signed_at when 'lender' then c.lender_signed_at else c.notary_signed_at end
    """
    assert rows(connection, signed) == []
    assert rows(connection, NOT_SEEN_LAST) == []
    charged = """
        select f.id from fee_events f join (
            select id, created_at, cancelled_at from voucher_bookings
            union all select id, created_at, null from transfers
        ) s on s.id = f.subject_id
        cross join lateral (select case when f.reverses is null then s.created_at else s.cancelled_at end as at) said
        where abs(extract(epoch from f.created_at - said.at)) > 1
    """
    assert rows(connection, charged) == []


def test_somebody_is_online_now(connection: psycopg.Connection) -> None:
    there = rows(
        connection,
        "select s.pair_code, count(*), count(distinct s.room_id), bool_and(s.last_seen_at > t.created_at)"
        " from presence_sessions s join thinkers t on t.id = s.thinker_id"
        " where s.status = 'online' group by 1 order by 2",
    )
    assert [(number, room, seen) for _, number, room, seen in there] == [(2, 1, True), (3, 1, True)]
    seeded = one(connection, "select created_at from vouchers where id = 'v-demo-consulting'")
    assert rows(connection, "select distinct last_seen_at from presence_sessions where status = 'online'") == [
        (seeded,)
    ]


def test_every_table_that_can_is_filled(connection: psycopg.Connection) -> None:
    empty = {table for table in tables(connection) if rows(connection, f"select count(*) from {table}") == [(0,)]}
    # a document needs a file
    assert empty <= {
        "contracts", "contract_links", "idempotency_keys", "request_counts",
        "private.idempotency_keys", "private.request_counts", "private.job_runs", "private.job_servers",
        "private.daily_use", "private.document_total",
        "private.import_runs", "private.import_staging", "private.import_rejects", "private.import_rows",
            "private.erased_uids", "private.claims", "private.ended_sessions",
    }  # fmt: skip
