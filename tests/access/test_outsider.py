"""A caller with the anon key, with or without its own token, reaches no rows of others through the Data API."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from api.settings import ROOT
from tests.support.data_api import run_data_api, token
from tests.support.databases import Server

ANON, STRANGER = token("anon"), token("authenticated", "nobody that anybody knows")
SOME_ID = "00000000-0000-4000-8000-000000000000"
OPEN: dict[str, str] = {"vouchers": "open", "voucher_templates": "", "fees": "", "fee_versions": ""}
"""What everybody, or every signed-in thinker, may read: one row of a table, or all rows where none is named."""

LISTS: dict[str, dict[str, str]] = {
    "list_vouchers": {},
    "list_bookings": {},
    "list_contracts": {},
    "list_transfers": {},
    "list_mortgage_applications": {"role": "borrower"},
    "list_mortgage_offers": {"application_id": "anna-1"},
}
REFUSED: dict[str, dict[str, Any]] = {
    "list_presence": {},
    "list_events": {},
    "dashboard": {},
    "error_summary": {},
    "list_fees": {},
    "presence_stats": {},
    "voucher_stats": {},
    "mortgage_stats": {},
    "telbank_stats": {},
    "fee_stats": {},
    "system_stats": {},
    "list_settlements": {},
    "get_settlement": {"settlement_id": SOME_ID},
    "settle_fees": {"period_from": "2020-01-01", "period_to": "2030-01-01"},
    "invoice_settlement": {"settlement_id": SOME_ID},
    "pay_settlement": {"settlement_id": SOME_ID},
    "void_settlement": {"settlement_id": SOME_ID},
    "write_off_settlement": {"settlement_id": SOME_ID, "reason": "gone"},
    "get_statement": {"settlement_id": SOME_ID},
    "get_balance": {},
    "adjust_fee": {"fee_event_id": SOME_ID, "amount_cents": -1, "reason": "gone"},
    "reverse_fee": {"fee_event_id": SOME_ID, "reason": "gone"},
    "list_mortgage_applications": {"role": "lender"},
    "available_slots": {"voucher_id": "given"},
    "book_voucher": {"voucher_id": "given", "slot_start": "2030-01-07T09:00:00Z"},
    "cancel_booking": {"voucher_id": "booked"},
    "offer_mortgage": {"application_id": "anna-2"},
    "accept_mortgage_offer": {"offer_id": "ben-1"},
    "check_contract_link": {"voucher_id": "booked"},
    "record_contract": {},
    "count_request": {"client": "victim"},
}


@pytest.fixture(scope="module")
def database(server: Server, migrated: str) -> Iterator[str]:
    """The URL of a database with the rows of the pgTAP tests."""
    with server.database(template=migrated) as url:
        with psycopg.connect(url) as connection:
            for file in ("helpers.psql", "world.psql"):
                connection.execute((ROOT / "supabase" / "tests" / file).read_bytes())
        yield url


@pytest.fixture(scope="module")
def rest(database: str) -> Iterator[httpx.Client]:
    """Sends a request to the Data API."""
    with run_data_api(database) as url, httpx.Client(base_url=f"{url}/rest/v1", timeout=30) as client:
        yield client


def tables(database: str) -> dict[str, list[str]]:
    """Returns every table of the Data API with all its rows."""
    with psycopg.connect(database) as connection:
        names = connection.execute("select tablename from pg_tables where schemaname = 'public' order by 1").fetchall()
        return {
            name: [row[0] for row in connection.execute(f"select t::text from public.{name} t order by 1".encode())]
            for (name,) in names
        }


def bearer(key: str) -> dict[str, str]:
    return {"apikey": ANON, "Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("key", [ANON, STRANGER], ids=["anon", "stranger"])
def test_an_outsider_reads_open_offers_templates_and_prices(rest: httpx.Client, database: str, key: str) -> None:
    for table, rows in tables(database).items():
        assert rows, table
        answer = rest.get(f"/{table}", headers=bearer(key))
        if key == ANON and table not in ("vouchers", "voucher_templates"):
            assert (answer.status_code, answer.json()["code"]) == (401, "42501"), table
        elif table not in OPEN:
            assert (answer.status_code, answer.json()) == (200, []), table
        elif OPEN[table]:
            assert [row["id"] for row in answer.json()] == [OPEN[table]]
        else:
            assert len(answer.json()) == len(rows), table


@pytest.mark.parametrize("key", [ANON, STRANGER], ids=["anon", "stranger"])
def test_an_outsider_changes_no_table(rest: httpx.Client, database: str, key: str) -> None:
    before = tables(database)
    for table in before:
        row = {"settlement_id" if table == "settlement_lines" else "id": SOME_ID}
        for answer in (
            rest.post(f"/{table}", json=row, headers=bearer(key)),
            rest.patch(f"/{table}", json=row, headers=bearer(key)),
            rest.delete(f"/{table}", headers=bearer(key)),
        ):
            assert answer.status_code in (401, 403), (table, answer.text)
            assert answer.json()["code"] == "42501", (table, answer.text)
    assert tables(database) == before


def test_stranger_finds_nothing_through_functions(rest: httpx.Client) -> None:
    for function, arguments in LISTS.items():
        answer = rest.post(f"/rpc/{function}", json=arguments, headers=bearer(STRANGER))
        assert answer.status_code == 200, (function, answer.text)
        assert [row["id"] for row in answer.json()] == (["open"] if function == "list_vouchers" else []), function


@pytest.mark.parametrize("key", [ANON, STRANGER], ids=["anon", "stranger"])
def test_functions_refuse_an_outsider_and_change_nothing(rest: httpx.Client, database: str, key: str) -> None:
    before = tables(database)
    for function, arguments in REFUSED.items():
        answer = rest.post(f"/rpc/{function}", json=arguments, headers=bearer(key))
        assert answer.status_code in (401, 403, 404), (function, answer.text)
    assert tables(database) == before
