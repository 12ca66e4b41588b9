"""Databases of different locales store the same values, and each takes the rows of the other."""

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import sql

from api.actor import SERVER
from api.database.migrations import migrate
from tests.support.acting import act, be_operator, call_or_reason, thinker, unchecked
from tests.support.databases import Server

pytestmark = pytest.mark.slow

LOCALES = ("C", "C.UTF-8")

ANNA, BEN, LENDER = thinker("anna"), thinker("ben ß"), thinker("Łena", "lender")

CURRENCIES = ("eur", "Chf", "JPY")

# with a time or a random part of an id, which differ in every database
TABLES = {
    "vouchers": "id, price_currency, status",
    "mortgage_applications": "id, currency, rate_type, status",
    "transfers": "fiat_currency, fiat_amount",
    "fee_events": "fee_id, currency, amount_cents",
    "settlements": "currency, total_cents",
}


def make(connection: psycopg.Connection, currency: str) -> None:
    """Makes and charges a booking, a mortgage and a transfer in this currency."""
    slot = "2030-01-07T09:00:00Z"
    voucher: dict[str, object] = {"voucher_id": currency, "valid_from": slot, "valid_until": "2030-01-07T10:00:00Z"}
    act(connection, ANNA, "issue_voucher", **voucher, price_amount=500, price_currency=currency, status="ISSUED")
    act(connection, BEN, "book_voucher", voucher_id=currency, slot_start=slot)
    loan: dict[str, object] = {"desired_loan": 500, "currency": currency, "rate_type": "FIXED", "status": "OPEN"}
    act(connection, BEN, "apply_for_mortgage", application_id=currency, **loan)
    offer = act(connection, LENDER, "offer_mortgage", application_id=currency, offer_id=currency)
    act(connection, BEN, "accept_mortgage_offer", offer_id=offer["id"])
    amounts: dict[str, object] = {"crypto_amount": 1, "crypto_symbol": "ETH", "fiat_major": 5}
    act(connection, BEN, "log_transfer", direction="in", **amounts, fiat_currency=currency)


@pytest.fixture(scope="module")
def databases(server: Server) -> Iterator[list[psycopg.Connection]]:
    """A superuser's session on a database of each locale, with the same rows of business."""
    with ExitStack() as stack:
        sessions = []
        for locale in LOCALES:
            url = stack.enter_context(server.database(locale=locale))
            migrate(url)
            connection = stack.enter_context(psycopg.connect(url, autocommit=True))
            connection.execute(
                "insert into public.fees (id, scope, percentage, active) values ('m', 'mortgage', 0.02, true);"
                "update public.fees set percentage = 0.02, active = true where id = 'transfer.logged'"
            )
            for currency in CURRENCIES:
                with connection.transaction():
                    make(connection, currency)
            with connection.transaction():
                act(connection, SERVER, "settle_fees", period_from="2000-01-01", period_to="2100-01-01")
            be_operator(connection)
            sessions.append(connection)
        yield sessions


@pytest.mark.parametrize("table", TABLES)
def test_the_same_values_are_stored(databases: list[psycopg.Connection], table: str) -> None:
    found = [
        connection.execute(f'select {TABLES[table]} from public.{table} t order by t::text collate "C"'.encode())
        for connection in databases
    ]
    first, second = (sorted(rows.fetchall()) for rows in found)
    assert first
    assert first == second


def test_each_takes_all_rows_of_the_other(databases: list[psycopg.Connection]) -> None:
    for source, target in (databases, databases[::-1]):
        tables = [
            sql.Identifier(schema, name)
            for schema, name in source.execute(
                "select relnamespace::regnamespace::text, relname from pg_class where relkind = 'r' and "
                "relnamespace::regnamespace::text in ('public', 'private') order by 1, 2"
            )
        ]
        with target.transaction(force_rollback=True), unchecked(target):
            target.execute(sql.SQL("truncate {} cascade").format(sql.SQL(", ").join(tables)))
            for table in tables:
                columns = sql.SQL("copy {} {} (format binary)")
                with (
                    source.cursor().copy(columns.format(table, sql.SQL("to stdout"))) as rows,
                    target.cursor().copy(columns.format(table, sql.SQL("from stdin"))) as copied,
                ):
                    for row in rows:
                        copied.write(row)
            violated = target.execute("select name from stats.invariants where violations > 0").fetchall()
            assert violated == []


def test_no_locale_makes_a_currency_of_a_letter_beyond_ascii(databases: list[psycopg.Connection]) -> None:
    # the capital of a long s is S
    voucher = {"price_amount": 1, "price_currency": "u\u017fd"}
    for connection in databases:
        assert call_or_reason(connection, ANNA, "issue_voucher", **voucher) == "currency_unknown"
