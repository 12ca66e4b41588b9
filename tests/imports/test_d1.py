"""A Cloudflare D1 database becomes rows of the tables: each mapping, each reason to reject; again, and interrupted."""

import csv
import json
import os
import re
import signal
import sqlite3
import struct
import subprocess
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from api.actor import SERVER
from api.errors import PortalError
from api.imports.d1 import _replace, open_d1
from api.imports.loading import begin, finish, load, load_table
from api.imports.source import TABLES, stage
from tests.cli.running import PORTAL, portal, run
from tests.imports.conftest import Take
from tests.imports.legacy import ROWS, Value, dump, write
from tests.support.acting import call, call_or_reason, one, thinker
from tests.support.charging import violations
from tests.support.databases import Server
from tests.support.parallel import at_once
from tests.support.pooler import run_pooler
from tests.support.usage import rows
from tests.support.waiting import wait_for_row

MAPPED: dict[str, dict[str, object]] = {
    "transfers": {
        "id": "in-1", "crypto_amount": "0.1", "fiat_amount": 25050, "fiat_currency": "EUR", "thinker": None,
        "meta": {"source": "tpga-telbank-console"}, "created_at": "2026-03-01T10:00:00.123+00:00",
        "updated_at": "2026-03-01T10:00:00.123+00:00", "label": "Fiat→Crypto inflow", "wallet_address": "0xabc",
    },
    "vouchers": {
        "id": "v-1", "issuer": "anna", "holder": "ben", "issued_to": None, "title": "Beratung",
        "duration_minutes": 60, "price_amount": 12000, "price_currency": "EUR", "status": "booked",
        "transferable": True, "terms": {"template": "consulting"}, "valid_from": "2026-03-02T09:00:00+00:00",
        "created_at": "2026-03-01T10:00:00+00:00",
    },
    "voucher_bookings": {
        "id": "b-1", "voucher_id": "v-1", "issuer": "anna", "holder": "ben", "status": "booked",
        "slot_start": "2026-03-02T09:00:00+00:00", "slot_end": "2026-03-02T10:00:00+00:00", "price_amount": 12000,
        "cancelled_at": None, "created_at": "2026-03-01T11:00:00+00:00",
    },
    "properties": {"id": "house-1", "address": "Am Markt 1", "meta": {"rooms": 3}},
    "mortgage_applications": {
        "id": "app-1", "property_id": "house-1", "borrower": "clara", "desired_loan": 36000000, "currency": "EUR",
        "duration_years": 20, "rate_type": "fixed", "max_interest": "0.04", "status": "open", "visibility": "private",
        "submission_ts": "2026-03-03T10:00:00+00:00",
    },
    "mortgage_offers": {
        "id": "mort-offer-1", "application_id": "app-1", "lender": "lena", "interest_rate": "0.031",
        "monthly_payment": 210000, "loan_amount": 36000000, "status": "open",
        "room_refs": {"negotiationRoomId": "mortgage:offer:mort-offer-1", "contractRoomId": None},
    },
    "contracts": {
        "name": "Vertrag.pdf", "byte_size": 3, "creator": "anna", "storage_url": "contracts/ct-1/Vertrag.pdf",
    },
    "contract_links": {"voucher_id": "v-1", "room_id": "desk", "role": "primary"},
    "events": {
        "type": "voucher.book", "actor": "ben", "subject_type": "voucher_booking", "subject_id": "b-1",
        "created_at": "2026-03-01T11:00:00+00:00",
    },
    "telemetry_events": {"id": "te-1", "type": "page.view", "path": "/", "actor": "ben", "meta": None},
}  # fmt: skip
"""What the rows of ROWS become."""

PARTIES = {
    "thinker": "thinker_id", "issuer": "issuer_id", "holder": "holder_id", "borrower": "borrower_id",
    "lender": "lender_id", "creator": "created_by", "actor": "actor_id",
}  # fmt: skip
"""The columns of thinkers, whose uids MAPPED has."""

REJECTS: list[tuple[str, dict[str, Value], str]] = [
    ("transfers", {"direction": "sideways"}, "direction_is_valid"),
    ("transfers", {"fiat_currency": "XBT"}, "currency_unknown"),
    ("transfers", {"fiat_currency": ""}, "value_missing"),
    ("transfers", {"fiat_amount": "much"}, "value_invalid"),
    ("transfers", {"fiat_amount": 1e300}, "value_invalid"),
    ("transfers", {"fiat_amount": float("-inf")}, "value_invalid"),
    ("transfers", {"fiat_amount": "NaN"}, "value_invalid"),
    ("transfers", {"crypto_amount": float("inf")}, "crypto_amount_has_at_most_18_digits_before_the_point"),
    ("transfers", {"meta": "{broken"}, "json_invalid"),
    ("transfers", {"updated_at": "2020-01-01T00:00:00.000Z"}, "stored_differently"),
    ("transfers", {"updated_at": "9998-01-01T00:00:00.000Z"}, "date_in_the_future"),
    ("transfers", {"status": "lost"}, "transfer_status_is_valid"),
    ("vouchers", {"issuer_uid": ""}, "value_missing"),
    ("vouchers", {"issuer_uid": "x" * 256}, "public_id_has_1_to_255_characters"),
    ("vouchers", {"price_amount": 99.5}, "amount_out_of_range"),
    ("vouchers", {"price_amount": -1.0}, "amount_out_of_range"),
    ("vouchers", {"price_currency": "EURO!"}, "currency_unknown"),
    ("vouchers", {"status": "draft"}, "voucher_status_is_valid"),
    ("vouchers", {"duration_minutes": -5}, "duration_is_at_most_a_year"),
    ("vouchers", {"duration_minutes": 1.5}, "value_invalid"),
    ("vouchers", {"valid_from": "tomorrow"}, "date_invalid"),
    ("vouchers", {"valid_from": "2030-02-30T09:00:00.000Z"}, "date_invalid"),
    ("vouchers", {"valid_from": "2031-01-01T00:00:00.000Z"}, "valid_until_is_not_before_valid_from"),
    ("vouchers", {"title": "a\0b"}, "text_unreadable"),
    ("vouchers", {"title": b"\xff\xfe"}, "text_unreadable"),
    ("vouchers", {"terms": '"\\u0000"'}, "text_unreadable"),
    ("vouchers", {"terms": "[" * 100 + "]" * 100}, "json_unreasonable"),
    # 74 KB, printed with more than the 1 GB that PostgreSQL can
    ("vouchers", {"terms": f"[{','.join(['1e131000'] * 8200)}]"}, "json_unreasonable"),
    # no more than 64 KiB, but only when it is read
    ("vouchers", {"terms": " " * 2**19 + "{}"}, "json_unreasonable"),
    ("voucher_bookings", {"voucher_id": "v-none"}, "voucher_missing"),
    ("voucher_bookings", {"issuer_uid": "ben"}, "issuer_differs"),
    ("voucher_bookings", {"slot_start": "2026-03-02T09:30:00.000Z"}, "slot_taken"),
    ("voucher_bookings", {"slot_end": "2026-03-02T09:00:00.000Z"}, "slot_ends_after_it_starts"),
    ("voucher_bookings", {"slot_end": "2027-03-03T09:00:00.001Z"}, "slot_too_long"),
    ("voucher_bookings", {"status": "cancelled"}, "cancelled_booking_has_a_time"),
    ("voucher_bookings", {"status": "cancelled", "cancelled_at": "9998-01-01"}, "date_in_the_future"),
    ("properties", {"id": ""}, "property_id_has_1_to_255_characters"),
    ("mortgage_applications", {"rate_type": "odd"}, "rate_type_is_valid"),
    ("mortgage_applications", {"max_interest": 0.03125}, "max_interest_has_at_most_four_decimals"),
    ("mortgage_offers", {"application_id": "app-none"}, "application_missing"),
    ("mortgage_offers", {"status": "accepted"}, "offer_is_accepted"),
    ("contracts", {"hash_sha256": None}, "value_missing"),
    ("contracts", {"storage_url": "https://elsewhere/x"}, "storage_url_is_a_path_of_contracts"),
    ("contracts", {"storage_url": "contracts/../x"}, "storage_url_is_a_path_that_stores_take"),
    ("contracts", {"storage_url": "contracts/x/.."}, "storage_url_is_a_path_that_stores_take"),
    ("contracts", {"storage_url": "contracts/x/."}, "storage_url_is_a_path_that_stores_take"),
    ("contracts", {"storage_url": "contracts/x/a\tb"}, "storage_url_is_a_path_that_stores_take"),
    ("contracts", {"storage_url": "contracts/x/a#1"}, "storage_url_is_a_path_that_stores_take"),
    ("contracts", {"byte_size": 100 * 2**20 + 1}, "document_too_large"),
    ("contract_links", {"contract_id": "ct-none"}, "contract_missing"),
    ("contract_links", {"voucher_id": None, "room_id": ""}, "link_has_a_voucher_or_a_room"),
    ("events", {"meta": "[1]"}, "meta_is_an_object"),
    ("events", {"subject_id": None}, "subject_has_type_and_id"),
    ("events", {"type": "x" * 256}, "event_type_has_at_most_255_characters"),
    ("events", {"subject_type": "x" * 256}, "subject_type_has_at_most_255_characters"),
    ("events", {"subject_id": "x" * 4097}, "subject_id_has_at_most_4096_bytes"),
    ("events", {"created_at": "9998-01-01T00:00:00.000Z"}, "date_in_the_future"),
    ("events", {"created_at": "1999-12-31T00:00:00.000Z"}, "date_too_old"),
    ("telemetry_events", {"type": ""}, "telemetry_type_has_1_to_255_characters"),
    # short enough only without their tokens, which take minutes to find in megabytes
    ("telemetry_events", {"type": f"token={'x' * 300}"}, "telemetry_type_has_1_to_255_characters"),
    ("telemetry_events", {"path": f"/?token={'x' * 5000}"}, "path_has_at_most_4096_characters"),
    ("telemetry_events", {"meta": json.dumps({"token": "x" * 70_000})}, "json_unreasonable"),
]
"""Rows that cannot be imported, by what is changed of ROWS, and the reason."""


HUNDRED, LONG = (f"replace('{'x' * n}', 'x', '{'x' * n}')" for n in (100, 3200))
"""SQL of texts of 10 KB and 10 MB."""

NAMES = "abcdefghijklmn"
TENS = [f"(values {', '.join(f'({n})' for n in range(10))}) {name}" for name in NAMES]
"""SQL of tables, each of ten rows."""


@pytest.mark.parametrize("is_dump", [False, True], ids=["file", "dump"])
def test_every_table_is_mapped_without_events_or_fees(
    connection: psycopg.Connection, take: Take, tmp_path: Path, *, is_dump: bool
) -> None:
    file = write(tmp_path / "d1.sqlite")
    report = take(dump(file, tmp_path / "d1.sql") if is_dump else file)

    for table in TABLES:
        assert mapped(connection, table) == [MAPPED[table]], table
        part = report["tables"][table]
        assert (part["read"], part["written"], part["rows"], part["missing"], part["changed_here"]) == (1, 1, 1, 0, 0)
        assert part["source_checksum"] == part["target_checksum"]
    assert report["tables"]["transfers"]["sums"] == [
        {"currency": "EUR", "source": "25050", "target": "25050", "rounding": "0"}
    ]
    assert one(connection, "select count(*) from public.fee_events") == 0
    assert one(connection, "select created_at from public.thinkers where public_id = 'ben'").isoformat() == (
        "2026-03-01T10:00:00+00:00"
    )
    assert one(connection, "select owner_id = private.thinker_id('anna') from public.rooms where id = 'desk'")
    assert len(call(connection, thinker("ben"), "list_contracts", voucher_id="v-1")) == 1
    # else each applicant would read its address
    assert one(connection, "select private.uid_of(created_by) from public.properties") == "clara"
    # the document is found by its link, as before
    assert one(
        connection, "select count(*) from public.contract_links l join public.contracts c on c.id = l.contract_id"
    )
    assert one(connection, "select report -> 'tables' from private.import_runs") == report["tables"]
    assert violations(connection) == {}


def test_numbers_are_those_that_a_reader_of_the_old_api_saw(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    report = take(
        write(
            tmp_path / "d1.sqlite",
            ("transfers", {"id": "in-2", "crypto_amount": 0.1 + 0.2, "fiat_amount": 10.005}),
            ("transfers", {"id": "in-3", "crypto_amount": 1e-7, "fiat_amount": -2.0, "fiat_currency": "jpy"}),
            ("transfers", {"id": "in-4", "crypto_amount": 12345678901234567, "fiat_amount": 0.1}),
            ("vouchers", {"id": "v-2", "duration_minutes": 0, "price_amount": None, "price_currency": None}),
            ("vouchers", {"id": "v-3", "status": "ISSUED", "holder_uid": "ben", "valid_from": "2026-03-02"}),
        )
    )
    amounts = connection.execute("select id, crypto_amount::text, fiat_amount from public.transfers order by id")
    assert amounts.fetchall()[1:] == [
        ("in-2", "0.30000000000000004", 1001),
        ("in-3", "0.0000001", -2),
        ("in-4", "12345678901234568", 10),
    ]
    assert report["tables"]["transfers"]["sums"] == [
        {"currency": "EUR", "source": "26060.5", "target": "26061", "rounding": "0.5"},
        {"currency": "JPY", "source": "-2", "target": "-2", "rounding": "0"},
    ]
    vouchers = connection.execute(
        "select id, duration_minutes, price_amount, status, private.uid_of(issued_to), valid_from::text"
        " from public.vouchers order by id"
    ).fetchall()
    assert vouchers[1:] == [
        ("v-2", 60, None, "booked", "ben", "2026-03-02 09:00:00+00"),
        ("v-3", 60, 12000, "issued", "ben", "2026-03-02 00:00:00+00"),
    ]


def test_every_bad_row_is_rejected_whole_with_its_reason(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    bad: list[tuple[str, dict[str, Value]]] = [
        (table, {"id": f"bad-{n}", **change}) for n, (table, change, _) in enumerate(REJECTS)
    ]
    more: list[tuple[str, dict[str, Value]]] = [
        ("vouchers", {"id": "v-good", "price_amount": 500.0}),
        ("telemetry_events", {"id": None}),
    ]
    report = take(write(tmp_path / "d1.sqlite", *bad, *more))

    listed = [json.loads(line) for line in portal("import", "rejects", "--format", "json").splitlines()]
    expected = {(table, change["id"]): reason for (table, change), (*_, reason) in zip(bad, REJECTS, strict=True)}
    assert {(r["table"], r["id"]): r["reason"] for r in listed} == expected | {
        ("telemetry_events", None): "value_missing"
    }
    assert [r["row"]["title"] for r in listed if r["reason"] == "text_unreadable"][:2] == [
        {"base64": "YQBi"},
        {"base64": "//4="},
    ]
    for record in listed:
        assert set(record["row"]) == set(ROWS[record["table"]])
    # the rest goes on
    assert one(connection, "select price_amount from public.vouchers where id = 'v-good'") == 500
    for table in TABLES:
        part = report["tables"][table]
        assert part["read"] == part["written"] + part["rejected"]
        assert part["rows"] == part["written"]
    assert violations(connection) == {}


def documents(connection: psycopg.Connection, uid: str) -> int:
    """How many documents of the voucher v-2 a thinker sees."""
    return len(call(connection, thinker(uid), "list_contracts", voucher_id="v-2"))


@pytest.mark.parametrize("status", ["confirmed", "booked"], ids=["a reject", "a slot that is taken"])
def test_who_books_here_does_not_see_what_was_linked_for_another_before(
    connection: psycopg.Connection, take: Take, tmp_path: Path, status: str
) -> None:
    offer: dict[str, Value] = {
        "id": "v-2",
        "status": "issued",
        "holder_uid": None,
        "valid_until": "2031-03-02T12:00:00Z",
    }
    take(write(tmp_path / "before.sqlite", ("vouchers", offer)))
    slot = "2031-03-02T09:00:00.000Z"
    call(connection, thinker("eve"), "book_voucher", voucher_id="v-2", slot_start=slot)
    booking: dict[str, Value] = {"id": "b-2", "voucher_id": "v-2", "slot_start": slot, "status": status}
    link: dict[str, Value] = {"id": "cl-2", "voucher_id": "v-2", "room_id": None}
    # linked in the old store while eve has the slot here
    later = one(connection, "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
    after = write(
        tmp_path / "after.sqlite",
        ("vouchers", offer),
        ("voucher_bookings", booking | {"slot_end": "2031-03-02T10:00:00.000Z"}),
        ("contracts", {"id": "ct-2", "storage_url": "contracts/ct-2/a.pdf"}),
        ("contract_links", link),
        ("contract_links", link | {"id": "cl-3", "contract_id": "ct-2", "created_at": later}),
    )
    report = take(after)["tables"]
    assert (report["voucher_bookings"]["rejected"], report["contract_links"]["rejected"]) == (1, 0)
    assert [documents(connection, uid) for uid in ("anna", "eve")] == [2, 0]


def test_a_voucher_that_is_booked_without_a_booking_is_its_holders(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    file = write(
        tmp_path / "d1.sqlite",
        ("vouchers", {"id": "v-2", "valid_until": "2031-03-02T12:00:00Z"}),
        ("contract_links", {"id": "cl-2", "voucher_id": "v-2", "room_id": None}),
    )
    take(file)
    slot = "2031-03-02T09:00:00.000Z"
    assert call_or_reason(connection, thinker("eve"), "book_voucher", voucher_id="v-2", slot_start=slot) in (
        "voucher_not_found",
        "not_the_vouchers_holder",
    )
    assert [documents(connection, uid) for uid in ("anna", "ben", "eve")] == [1, 1, 0]
    # it is what was imported
    assert take(file)["tables"]["vouchers"]["changed_here"] == 0
    call(connection, thinker("ben"), "book_voucher", voucher_id="v-2", slot_start=slot)


def test_mended_rows_are_taken_and_the_bad_ones_stay_away(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    file = write(
        tmp_path / "d1.sqlite",
        ("vouchers", {"id": "v-2", "price_amount": 99.5}),
        ("voucher_bookings", {"id": "b-2", "voucher_id": "v-2", "holder_uid": "zoe"}),
        ("vouchers", {"id": "v-3", "status": "draft"}),
    )
    assert take(file)["tables"]["voucher_bookings"]["rejected"] == 1

    listed = tmp_path / "rejects.csv"
    portal("import", "rejects", "--format", "csv", "--output", str(listed))
    with listed.open(newline="") as lines:
        records = list(csv.DictReader(lines))
    for record in records:
        row = json.loads(record["row"])
        record["row"] = json.dumps(row | {"price_amount": "9950"} if row["id"] == "v-2" else row)
    with listed.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, records[0])
        writer.writeheader()
        writer.writerows(records)

    result = run("import", "rejects", "--retry", str(listed))
    assert result.exit_code == 3
    assert one(connection, "select price_amount from public.voucher_bookings where id = 'b-2'") == 9950
    assert [json.loads(line)["id"] for line in portal("import", "rejects", "--format", "json").splitlines()] == ["v-3"]

    report = take(file)
    assert (report["tables"]["vouchers"]["unchanged"], report["tables"]["vouchers"]["rejected"]) == (2, 1)
    assert one(connection, "select price_amount from public.vouchers where id = 'v-2'") == 9950

    # as docs/import.md gives a row up
    connection.execute("update private.import_rejects set resolved_at = now() where row_id = 'v-3'")
    report = take(file)
    assert (report["tables"]["vouchers"]["unchanged"], report["tables"]["vouchers"]["rejected"]) == (3, 0)


def test_a_reject_is_no_formula_in_a_spreadsheet_and_comes_back(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    title, description = ";=cmd|'/C calc'!A0; \"x;\" | +1 \\;@", "ü" * 30_000
    row: dict[str, Value] = {"id": "v-2", "title": title, "description": description, "created_at": "nonsense"}
    take(write(tmp_path / "d1.sqlite", ("vouchers", row)))
    listed = tmp_path / "rejects.csv"
    portal("import", "rejects", "--format", "csv", "--output", str(listed))
    text = listed.read_text()
    assert not re.search(r"[;|\t]\s*[=+\-@]", text)

    listed.write_text(text.replace("nonsense", "2026-03-01"))
    portal("import", "rejects", "--retry", str(listed))
    assert connection.execute("select title, description from public.vouchers where id = 'v-2'").fetchall() == [
        (title, description)
    ]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_rejects_are_listed_and_mended_one_after_the_other(
    connection: psycopg.Connection, tmp_path: Path, kind: str
) -> None:
    connection.execute(
        "insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, run)"
        " select 'd1', 'vouchers', 'v-' || n, gen_random_uuid(), %s::jsonb"
        " || jsonb_build_object('id', 'v-' || n, 'description', repeat('x', 120000)), 'date_invalid', 1"
        " from generate_series(1, 200) as n",
        (stage(ROWS["vouchers"]).content.decode(),),
    )
    listed = tmp_path / "rejects"
    assert portal("import", "rejects").count("\n") == 201
    tracemalloc.start()
    try:
        portal("import", "rejects", "--format", kind, "--output", str(listed))
        portal("import", "rejects", "--retry", str(listed))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert one(connection, "select count(*) from public.vouchers") == 200
    assert peak < listed.stat().st_size / 2


@pytest.mark.parametrize(
    "line",
    [
        '{"source": "d1", "table": "vouchers", "row": 5}',
        '{"source": ["d1"], "table": "vouchers", "row": {}}',
        '{"source": "d1", "table": ["vouchers"], "row": {}}',
        '{"source": "d1", "table": "vouchers", "row": {}, "reject": "7"}',
        '{"source": "d1", "table": "vouchers", "row": ' + '{"a": ' * 3000 + "1" + "}" * 3001,
        '{"source": "d1", "table": "vouchers", "row": {"\\ud800": "x"}}',
        '{"a": 1}',
        "source,table,row\nd1,vouchers,5",
        "source,table\nd1,vouchers",
        "source,table,row\nd1,vouchers,{},more",
    ],
)
def test_a_file_that_has_no_rejects_is_refused(connection: psycopg.Connection, tmp_path: Path, line: str) -> None:
    file = tmp_path / "rejects"
    file.write_text(line)
    with pytest.raises(PortalError, match="has no rows as"):
        run("import", "rejects", "--retry", str(file))


def test_rejects_of_several_sources_are_mended_at_once_and_unmended_ones_stay(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    take(
        write(
            tmp_path / "d1.sqlite",
            ("vouchers", {"id": "v-2", "price_amount": 99.5}),
            ("vouchers", {"id": "v-3", "title": b"\xff"}),
        )
    )
    # as another source would have left it
    connection.execute("update private.import_rejects set source = 'https://a.example.org' where row_id = 'v-2'")
    listed = tmp_path / "rejects.json"
    portal("import", "rejects", "--format", "json", "--output", str(listed))
    records = [json.loads(line) for line in listed.read_text().splitlines()]
    for record in records:
        record["row"] |= {"price_amount": "9950"}
    listed.write_text("".join(f"{json.dumps(record)}\n" for record in records))

    result = run("import", "rejects", "--retry", str(listed), "--json")
    assert result.exit_code == 3
    assert [report["source"] for report in json.loads(result.stdout)] == ["d1", "https://a.example.org"]
    assert connection.execute("select id from public.vouchers order by id").fetchall() == [("v-1",), ("v-2",)]
    rejects = connection.execute("select row_id, reason from private.import_rejects where resolved_at is null")
    assert rejects.fetchall() == [("v-3", "text_unreadable")]


def test_a_batch_that_others_make_fail_is_repeated(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    file = write(tmp_path / "d1.sqlite")
    with fails_first(connection, "transfers", "40P01", 2), fails_first(connection, "vouchers", "40001", 2):
        assert {part["written"] for part in take(file)["tables"].values()} == {1}
    write(file, ("properties", {"id": "house-2"}), good=False)
    with fails_first(connection, "properties", "40P01", 9), pytest.raises(PortalError, match="by a test"):
        take(file)


@contextmanager
def fails_first(connection: psycopg.Connection, table: str, state: str, times: int) -> Iterator[None]:
    """Lets the first insertions into a table fail; a sequence counts them, because no transaction takes it back."""
    connection.execute(f"create sequence private.failures_of_{table}".encode())
    connection.execute(
        f"create function private.fail_{table}() returns trigger language plpgsql as $$ begin"
        f" if nextval('private.failures_of_{table}') <= {times} then"
        f" raise sqlstate '{state}' using message = 'by a test'; end if; return null; end $$;"
        f" create trigger fail before insert on public.{table} execute function private.fail_{table}()".encode()
    )
    yield
    connection.execute(
        f"drop function private.fail_{table} cascade; drop sequence private.failures_of_{table}".encode()
    )


def test_again_changes_nothing_and_a_newer_export_brings_what_changed(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    file = write(tmp_path / "d1.sqlite")
    take(file)
    before = everything(connection)
    report = take(file)
    assert {(part["read"], part["unchanged"]) for part in report["tables"].values()} == {(1, 1)}
    assert everything(connection) == before

    write(
        file,
        ("vouchers", {"status": "issued", "holder_uid": None}),
        ("voucher_bookings", {"status": "cancelled", "cancelled_at": "2026-03-01T12:00:00.000Z", "cancel_reason": "x"}),
        (
            "voucher_bookings",
            {"id": "b-2", "slot_start": "2026-03-02T10:00:00.000Z", "slot_end": "2026-03-02T11:00:00Z"},
        ),
        ("transfers", {"status": "settled", "updated_at": "2026-04-01T00:00:00.000Z"}),
        ("properties", {"address": "Am Markt 2"}),
        good=False,
    )
    report = take(file)
    updated = {table for table, part in report["tables"].items() if part["updated"]}
    assert updated == {"vouchers", "voucher_bookings", "transfers", "properties"}
    assert report["tables"]["voucher_bookings"]["written"] == 1
    # the source says issued, but another booking is active
    assert report["statesSet"] == 1
    assert connection.execute("select id, status from public.voucher_bookings order by id").fetchall() == [
        ("b-1", "cancelled"),
        ("b-2", "booked"),
    ]
    assert one(connection, "select updated_at::text from public.transfers") == "2026-04-01 00:00:00+00"
    assert one(connection, "select count(*) from public.events") == 1
    assert {part["changed_here"] for part in report["tables"].values()} == {0}
    assert violations(connection) == {}


def test_what_is_only_written_in_another_way_has_not_changed(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    plain, spaced = ('{"template":"consulting"}', '{ "template" : "consulting" }')
    reports = []
    for number, terms in enumerate((plain, spaced, spaced)):
        open_: dict[str, Value] = {"holder_uid": None, "status": "issued", "valid_until": "2099-01-08T09:00:00.000Z"}
        file = write(tmp_path / f"{number}.sqlite", ("vouchers", {"terms": terms} | open_), good=False)
        reports.append(take(file)["tables"]["vouchers"])
        if not number:
            call(connection, thinker("ben"), "book_voucher", voucher_id="v-1", slot_start="2099-01-07T09:00:00Z")
    assert [(r["written"], r["updated"], r["unchanged"], r["rejected"]) for r in reports] == [
        (1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 1, 0)
    ]  # fmt: skip


def test_what_changed_here_meanwhile_is_not_overwritten(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    file = write(tmp_path / "d1.sqlite")
    take(file)
    call(connection, thinker("ben"), "cancel_booking", booking_id="b-1", reason="here")
    write(
        file,
        ("voucher_bookings", {"status": "cancelled", "cancelled_at": "2026-03-01T12:00:00.000Z"}),
        ("mortgage_offers", {"lender_uid": "zoe"}),
        ("events", {"type": "voucher.cancel"}),
        good=False,
    )
    take(file)
    rejects = connection.execute("select legacy_table, reason from private.import_rejects order by 1").fetchall()
    assert rejects == [
        ("events", "append_only"), ("mortgage_offers", "append_only"), ("voucher_bookings", "changed_here"),
    ]  # fmt: skip
    assert one(connection, "select cancel_reason from public.voucher_bookings") == "here"
    assert one(connection, "select private.uid_of(lender_id) from public.mortgage_offers") == "lena"
    assert violations(connection) == {}


def test_rows_of_what_others_have_made_under_an_id_of_the_source_are_rejected(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    call(connection, thinker("sam"), "issue_voucher", voucher_id="v-1")
    call(connection, thinker("sam"), "apply_for_mortgage", application_id="app-1")
    connection.execute("insert into public.rooms (id, owner_id) select 'desk', private.thinker_id('sam')")
    file = write(tmp_path / "d1.sqlite", ("contract_links", {"id": "cl-2", "voucher_id": None}))
    for _ in range(2):
        take(file)
        rejects = connection.execute(
            "select row_id, reason from private.import_rejects where resolved_at is null order by 1"
        ).fetchall()
        assert rejects == [
            ("app-1", "id_taken"),
            ("b-1", "voucher_missing"),
            ("cl-1", "voucher_missing"),
            ("cl-2", "room_taken"),
            ("mort-offer-1", "application_missing"),
            ("v-1", "id_taken"),
        ]
    assert one(connection, "select private.uid_of(issuer_id) from public.vouchers") == "sam"


def test_a_released_thinker_is_nobodys_once_an_import_brings_its_rows(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    call(connection, SERVER, "claim_thinker", session_id=uuid4(), uid="anna")
    connection.execute("select private.release_thinker('anna')")
    take(write(tmp_path / "d1.sqlite"))
    named = partial(call_or_reason, connection, SERVER, "claim_thinker", uid="anna")
    assert named(session_id=uuid4()) == "not_yourself"
    # one that is released later stays so when the same file comes again
    assert named(session_id=uuid4(), known=True) == ""
    connection.execute("select private.release_thinker('anna')")
    take(tmp_path / "d1.sqlite")
    assert named(session_id=uuid4()) == ""


@pytest.mark.parametrize("changes", [{"currency": "QQQ"}, {"created_at": "never"}, {"id": "app-here"}])
def test_a_property_belongs_to_its_first_applicant_also_while_the_application_is_a_reject(
    connection: psycopg.Connection, take: Take, tmp_path: Path, changes: dict[str, Value]
) -> None:
    call(connection, thinker("mallory"), "apply_for_mortgage", application_id="app-here")
    later = ("mortgage_applications", {"id": "app-2", "borrower_uid": "mallory"})
    file = write(tmp_path / "d1.sqlite", ("properties", {}), ("mortgage_applications", changes), later, good=False)
    part = take(file)["tables"]["mortgage_applications"]
    assert (part["written"], part["rejected"]) == (1, 1)
    assert one(connection, "select private.uid_of(created_by) from public.properties") == "clara"


def test_an_applicant_does_not_read_the_address_of_an_imported_property(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    take(write(tmp_path / "d1.sqlite", ("properties", {"id": "house-2"})))
    assert one(connection, "select created_by is null from public.properties where id = 'house-2'")
    call(connection, thinker("eve"), "apply_for_mortgage", property_id="house-2")
    with connection.transaction(force_rollback=True):
        connection.execute("set local role authenticated")
        connection.execute("select set_config('request.jwt.claims', %s, true)", (json.dumps(thinker("eve").claims()),))
        assert one(connection, "select count(*) from public.properties") == 0


def test_nobody_claims_a_thinker_that_is_imported_but_was_named_before(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    for uid in ("ben", "anna", "zoe"):
        call(connection, thinker("sam"), "issue_voucher", holder_uid=uid)
    # of anna all rows are rejected
    take(write(tmp_path / "d1.sqlite", ("vouchers", {"price_currency": "?"})))
    waiting = connection.execute("select private.uid_of(thinker_id) from private.claims").fetchall()
    assert waiting == [("zoe",)]


def test_nobody_claims_a_thinker_that_is_named_while_it_is_imported(
    connection: psycopg.Connection, shared_database: str, take: Take, tmp_path: Path
) -> None:
    # a later batch with its uid would find it named
    file = write(tmp_path / "d1.sqlite", ("vouchers", {"holder_uid": "ben"}), good=False)
    with psycopg.connect(shared_database) as naming, ThreadPoolExecutor() as threads:
        with naming.transaction():
            call(naming, thinker("sam"), "issue_voucher", holder_uid="ben")
            taken = threads.submit(take, file)
            wait_for_row(connection, "select from pg_locks where not granted")
        taken.result(timeout=60)
    assert one(connection, "select count(*) from public.thinkers where public_id = 'ben'") == 1
    assert one(connection, "select count(*) from private.claims") == 0


def test_a_second_row_of_an_id_in_the_source_never_replaces_the_first(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    file = write(tmp_path / "d1.sqlite")
    with closing(sqlite3.connect(file)) as database, database:
        # a table without its key, as a list of a server may be
        database.executescript("create table p as select * from properties; drop table properties;")
        database.executescript(
            "alter table p rename to properties; insert into properties values ('house-1', 'B', '{}')"
        )
    for written in (1, 0):
        part = take(file)["tables"]["properties"]
        assert (part["written"], part["updated"], part["rejected"]) == (written, 0, 1)
    assert one(connection, "select address from public.properties") == "Am Markt 1"


def test_a_dry_run_says_the_same_and_changes_nothing(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    file = write(tmp_path / "d1.sqlite", ("vouchers", {"id": "v-2", "status": "draft"}))
    before = everything(connection)
    dry = take(file, "--dry-run")
    assert everything(connection) == before
    assert one(connection, "select count(*) from private.import_rejects") == 0
    assert dry["tables"] == take(file)["tables"]


def test_a_dry_run_locks_rows_only(connection: psycopg.Connection, shared_database: str, tmp_path: Path) -> None:
    # a month that has no partition yet
    file = write(tmp_path / "d1.sqlite", ("events", {"created_at": "2016-02-01T11:00:00.000Z"}))
    locks: set[str] = set()

    def look(_: int) -> None:
        locks.update(
            row[0]
            for row in connection.execute(
                "select c.relname || ' ' || l.mode from pg_locks l join pg_class c on c.oid = l.relation"
                " where c.relnamespace = 'public'::regnamespace and l.pid <> pg_backend_pid()"
                " and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')"
            )
        )

    with open_d1(file) as source, psycopg.connect(shared_database, autocommit=True) as importing:
        load(importing, source, dry_run=True, advance=look)
    assert locks == set()


def test_each_partition_is_made_in_a_transaction_of_its_own(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    times = ["2015-01-10T11:00:00.000Z", " 2015-01-31T23:00:00-02:00", "2015-03"]
    events = [("events", {"id": f"ev-{time}", "created_at": time}) for time in times]
    take(write(tmp_path / "d1.sqlite", *events, good=False))
    made = "select count(distinct xmin::text), count(*) from pg_class where relname ~ '^events_2015_0[123]$'"
    assert connection.execute(made).fetchone() == (3, 3)
    connection.execute("select private.drop_old_event_partitions('13 months')")


def test_bookings_are_charged_from_a_day_on_as_of_their_time(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    old: dict[str, Value] = {
        "id": "b-old", "created_at": "2026-02-28T22:00:00Z", "slot_start": "2026-03-02T10:00:00.000Z",
        "slot_end": "2026-03-02T11:00:00.000Z",
    }  # fmt: skip
    cancelled: dict[str, Value] = {
        "id": "b-cancelled", "status": "cancelled", "cancelled_at": "2026-03-01T12:00:00.000Z",
        "slot_start": "2026-03-02T11:00:00.000Z", "slot_end": "2026-03-02T12:00:00.000Z",
    }  # fmt: skip
    file = write(tmp_path / "d1.sqlite", ("voucher_bookings", old), ("voucher_bookings", cancelled))
    take(file, "--charge-from", "2026-03-01")
    charges = connection.execute(
        "select subject_id, amount_cents, created_at::text, private.uid_of(payer_id) from public.fee_events"
        " order by created_at, subject_id, amount_cents"
    ).fetchall()
    assert charges == [
        ("b-1", 240, "2026-03-01 11:00:00+00", "anna"),
        ("b-cancelled", 240, "2026-03-01 11:00:00+00", "anna"),
        ("b-cancelled", -240, "2026-03-01 12:00:00+00", "anna"),
    ]
    assert one(connection, "select count(*) from public.events") == 1
    assert violations(connection) == {}


def test_a_mended_booking_is_charged_as_the_run_that_rejected_it_charges(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    bookings: list[tuple[str, dict[str, Value]]] = [
        (
            "voucher_bookings",
            {
                "id": f"b-{hour}", "cancel_reason": "a\0b", "slot_start": f"2026-03-02T{hour}:00:00.000Z",
                "slot_end": f"2026-03-02T{hour + 1}:00:00.000Z",
            },
        )
        for hour in (10, 11)
    ]  # fmt: skip
    take(write(tmp_path / "free.sqlite", bookings[0]))
    take(write(tmp_path / "charged.sqlite", bookings[1], good=False), "--charge-from", "2026-03-01")
    listed = tmp_path / "rejects.json"
    portal("import", "rejects", "--format", "json", "--output", str(listed))
    listed.write_text(listed.read_text().replace(json.dumps({"base64": "YQBi"}), "null"))
    portal("import", "rejects", "--retry", str(listed))
    assert connection.execute("select subject_id, amount_cents from public.fee_events").fetchall() == [("b-11", 240)]
    assert one(connection, "select count(*) from public.voucher_bookings") == 3
    assert violations(connection) == {}


@pytest.mark.parametrize(
    ("bad", "good", "size", "transactions"), [(0, 120, 10, 1), (1, 120, 10, 3), (0, 20, 60_000, 2), (1, 3, 20_000, 3)]
)
def test_rows_that_are_many_or_large_or_beside_a_bad_one_are_several_transactions(
    connection: psycopg.Connection, take: Take, tmp_path: Path, bad: int, good: int, size: int, transactions: int
) -> None:
    meta = f'{{"text": "{"x" * size}"}}'
    pages: list[tuple[str, dict[str, Value]]] = [
        ("telemetry_events", {"id": f"te-{n}", "meta": meta}) for n in range(good)
    ]
    broken: list[tuple[str, dict[str, Value]]] = [("telemetry_events", {"id": "te-bad", "created_at": "never"})] * bad
    report = take(write(tmp_path / "d1.sqlite", *broken, *pages, good=False))["tables"]["telemetry_events"]
    assert {name: report[name] for name in ("read", "written", "rejected")} == {
        "read": good + bad, "written": good, "rejected": bad,
    }  # fmt: skip
    assert one(connection, "select count(distinct imported_at) from private.import_rows") == transactions


def test_a_cancellation_during_the_end_of_an_import_stays(connection: psycopg.Connection, shared_database: str) -> None:
    loaded = begin(connection, "d1", {})
    load_table(connection, loaded, "vouchers", [stage(ROWS["vouchers"] | {"status": "issued", "holder_uid": None})])
    load_table(connection, loaded, "voucher_bookings", [stage(ROWS["voucher_bookings"])])
    with psycopg.connect(shared_database) as live, psycopg.connect(shared_database, autocommit=True) as importing:
        live.execute("select")  # begins a transaction, which the call does not end
        call(live, thinker("ben"), "cancel_booking", booking_id="b-1")
        with ThreadPoolExecutor() as threads:
            finished = threads.submit(finish, importing, loaded, 0)
            wait_for_row(
                connection,
                f"select from pg_stat_activity where pid = {importing.info.backend_pid} and wait_event_type = 'Lock'",
            )
            live.commit()
            finished.result()
    assert one(connection, "select status from public.vouchers") == "issued"
    assert violations(connection) == {}


def test_the_end_of_an_import_locks_few_vouchers_at_once(
    connection: psycopg.Connection, shared_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.imports.loading.VOUCHERS", 1)
    loaded = begin(connection, "d1", {})
    load_table(connection, loaded, "vouchers", [stage(ROWS["vouchers"] | {"id": f"v-{n}"}) for n in (1, 2)])
    with psycopg.connect(shared_database) as live, psycopg.connect(shared_database, autocommit=True) as importing:
        live.execute("select from public.vouchers where id = 'v-2' for update")
        with ThreadPoolExecutor() as threads:
            finished = threads.submit(finish, importing, loaded, 0)
            wait_for_row(connection, "select from pg_locks where not granted")
            live.execute("select from public.vouchers where id = 'v-1' for update nowait")
            live.commit()
            finished.result()
    assert one(connection, "select count(*) from public.vouchers where issued_to = holder_id") == 2


def test_a_request_cannot_write_without_its_events(connection: psycopg.Connection) -> None:
    connection.execute("set portal.import = 'on'")
    call(connection, thinker("anna"), "issue_voucher", voucher_id="v-1")
    connection.execute("reset portal.import")
    assert one(connection, "select count(*) from public.events where type = 'voucher.issue'") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "attach database '/tmp/other.sqlite' as other",
        "select load_extension('evil')",
        "create view v as select 1",
        "create trigger t after insert on vouchers begin select 1; end",
        "insert into properties (id) values (hex(randomblob(1000000000)))",
        "delete from properties",
        "update properties set address = 'other'",
        "insert into properties (id) select id || '2' from vouchers",
        "insert into properties (id) values ((select count(*) from vouchers))",
        # a value of 10 MB, in the dump and in what is read of it
        f"insert into properties (id) values ({LONG})",
        f"create table properties2 (id text, long text as ({LONG})); insert into properties2 (id) values ('x')",
        f"create table many ({', '.join(f'c{n}' for n in range(101))})",
        # 10 MB of rows
        f"create table t (x); insert into t select {HUNDRED} from {', '.join(TENS[:3])}",
        # such a text could be compared for minutes, which nothing ends
        "insert into properties (id) values (replace('x', 'seventeen letters', ''))",
        "no sql at all",
    ],
)
def test_a_dump_makes_and_fills_tables_only(connection: psycopg.Connection, tmp_path: Path, statement: str) -> None:
    file = dump(write(tmp_path / "d1.sqlite"), tmp_path / "d1.sql")
    file.write_text(f"{file.read_text()}\n{statement};\n")
    with pytest.raises(PortalError, match="Cannot read"):
        run("import", "d1", str(file))
    assert one(connection, "select count(*) from private.import_runs") == 0


def test_a_dump_of_wrangler_is_read(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    file = dump(write(tmp_path / "d1.sqlite"), tmp_path / "d1.sql")
    file.write_text(
        f"""{file.read_text()}
        CREATE TABLE IF NOT EXISTS "d1_migrations"(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE,
          kind TEXT CHECK (kind IN ('a', 'b')), both TEXT AS (name || kind));
        INSERT INTO "d1_migrations" ("id","name","kind") VALUES(1,'0001.sql','a'),
          (2,replace('a\\nb','\\n',char(10)),'b');
        DELETE FROM sqlite_sequence;
        INSERT INTO "sqlite_sequence" ("name","seq") VALUES('d1_migrations',2);
        CREATE INDEX by_kind ON d1_migrations (kind) WHERE kind IS NOT NULL;
        INSERT INTO "d1_migrations" ("id","name","kind") VALUES(3,'0003.sql','a'),(4,'0004.sql','b');
        """
    )
    assert take(file)["notes"] == ["The table d1_migrations is not imported (4 rows)."]


def test_a_nul_character_in_a_dump_rejects_its_row_alone(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    bad = ("vouchers", {"id": "v-2", "title": "a?b?", "holder_uid": None, "status": "issued"})
    file = dump(write(tmp_path / "d1.sqlite", bad), tmp_path / "d1.sql")
    file.write_text(file.read_text(encoding="utf-8").replace("a?b?", "a\0b\0"), encoding="utf-8")
    part = take(file)["tables"]["vouchers"]
    assert (part["written"], part["rejected"]) == (1, 1)
    query = "select row_id, reason, content -> 'title' ->> 'base64' from private.import_rejects"
    assert connection.execute(query).fetchall() == [("v-2", "text_unreadable", b64encode(b"a\0b\0").decode())]


def test_a_replacement_in_a_dump_is_measured_before_it_is_made() -> None:
    with pytest.raises(ValueError, match="too long"):
        _replace("x" * 3200, "x", "x" * 3200)
    assert [_replace("aba", "a", "cc"), _replace("aba", "", "c"), _replace(None, "a", "b")] == ["ccbcc", "aba", None]


def test_a_long_line_of_a_dump_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.imports.d1._PART", 2**10)
    monkeypatch.setattr("api.imports.d1._STATEMENT", 2**20)
    file = tmp_path / "d1.sql"
    # the end is no UTF-8, which is found where it is read
    file.write_bytes(b"create table vouchers (id text); -- " + b"x" * 2**21 + b"\xff")
    with pytest.raises(PortalError, match="a statement of more than 1 MiB"):
        run("import", "d1", str(file))


def test_long_lines_of_a_dump_are_executed_whole(take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.imports.d1._PART", 10)
    file = tmp_path / "d1.sql"
    # a part of a comment that ends with ; ends no statement
    comment = f"-- {';' * 30} no SQL"
    file.write_text(f"create table properties (id text); {comment}\ninsert into properties values ('{';' * 30}');  \n")
    assert take(file)["tables"]["properties"]["read"] == 1


def test_a_statement_of_a_dump_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.imports.d1._SECONDS", 0)
    with pytest.raises(PortalError, match=r"\(interrupted\)"):
        run("import", "d1", str(endless(tmp_path / "d1.sql")))


@pytest.mark.slow
def test_sigterm_ends_a_statement_of_a_dump(
    connection: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen([*PORTAL, "import", "d1", str(endless(tmp_path / "d1.sql"))]) as process:
        try:
            while process.poll() is None and not any(
                file.stat().st_size for file in tmp_path.glob("portal-import-*/dump.sqlite")
            ):
                time.sleep(0.05)
            assert process.poll() is None
            process.terminate()
            assert process.wait(timeout=60) != 0
        finally:
            process.kill()


def endless(file: Path) -> Path:
    """Writes a dump with a statement that takes years."""
    total = " + ".join(f"{name}.column1" for name in NAMES)
    file.write_text(f"create table t (x);\ninsert into t select 1 from {', '.join(TENS)} where {total} < 0;\n")
    return file


def test_a_reject_of_a_large_row_keeps_the_beginning_of_its_values(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    large: dict[str, Value] = {"id": "v-2", "description": "ü" * 150_000, "terms": "[" * 3000, "title": "t" * 1000}
    file = write(tmp_path / "d1.sqlite", ("vouchers", large))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"alter table properties add column {'n' * 1000} text")
        database.execute("insert into properties values ('house-2', ?, '{', ?)", ("a" * 262_144, "x"))
    take(file)

    records = {
        r["id"]: r for line in portal("import", "rejects", "--format", "json").splitlines() if (r := json.loads(line))
    }
    row = records["v-2"]["row"]
    assert row["description"] == {"cut": "ü" * 1000, "bytes": 300_000}
    assert row["terms"] == {"cut": "[" * 1000, "bytes": 3000}
    assert row["title"] == "t" * 1000
    assert set(records["house-2"]["row"]) == {"id", "address", "meta", "n" * 100}
    assert one(connection, "select max(octet_length(content::text)) from private.import_rejects") < 10_000

    # a part is not imported as the whole
    listed = tmp_path / "rejects.json"
    mended = row | {"terms": "{}"}
    lines = [records["v-2"] | {"row": r} for r in (mended, mended | {"description": "short"})]
    listed.write_text(json.dumps(lines[0]))
    assert run("import", "rejects", "--retry", str(listed)).exit_code == 3
    assert one(connection, "select reason from private.import_rejects where row_id = 'v-2'") == "text_unreadable"
    listed.write_text(json.dumps(lines[1]))
    assert run("import", "rejects", "--retry", str(listed)).exit_code == 0
    assert one(connection, "select description from public.vouchers where id = 'v-2'") == "short"


def test_a_row_with_a_long_id_is_rejected(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    # letters that no compression makes short
    identity = "".join(sha256(str(n).encode()).hexdigest() for n in range(500))
    report = take(write(tmp_path / "d1.sqlite", ("events", {"id": identity}), ("vouchers", {"id": identity})))
    assert (report["tables"]["events"]["rejected"], report["tables"]["vouchers"]["rejected"]) == (1, 1)
    assert one(connection, "select count(*) from private.import_rejects where row_id = left(%s, 500)", identity) == 2


def test_a_file_whose_rows_are_much_larger_is_refused(connection: psycopg.Connection, tmp_path: Path) -> None:
    file = tmp_path / "d1.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("create table properties (id text)")
        database.executemany("insert into properties values (?)", ((f"p-{n}",) for n in range(2000)))
        database.execute(f"alter table properties add column address text default '{'x' * 4000}'")
    assert file.stat().st_size < 100_000
    with pytest.raises(PortalError, match="8 times as large as the file"):
        run("import", "d1", str(file))
    assert one(connection, "select count(*) from public.properties") < 2000


@pytest.mark.usefixtures("connection")
def test_names_of_columns_count_for_each_row(tmp_path: Path) -> None:
    file = tmp_path / "d1.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"create table properties (id text, {'x' * 4000} text)")
        database.executemany("insert into properties values ('', ?)", [(None,)] * 2000)
    with pytest.raises(PortalError, match="8 times as large as the file"):
        run("import", "d1", str(file))


def test_rows_that_are_still_in_the_log_of_a_database_are_read(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    file = tmp_path / "d1.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("pragma wal_autocheckpoint = 0")
        database.execute("create table properties (id text, address text)")
        database.executemany("insert into properties values (?, ?)", ((f"p-{n}", "x" * 100_000) for n in range(50)))
        database.commit()
        assert file.stat().st_size < 10_000
        assert take(file)["tables"]["properties"]["read"] == 50


@pytest.mark.parametrize("kind", ["virtual", "stored"])
def test_a_file_that_computes_columns_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "d1.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"create table properties (id text, address text as (hex(zeroblob(2000000))) {kind})")
    with pytest.raises(PortalError, match="computes columns of properties"):
        run("import", "d1", str(file))


def test_views_of_a_file_are_not_asked(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    file = write(tmp_path / "d1.sqlite")
    with closing(sqlite3.connect(file)) as database, database:
        for name, columns in {
            "page_count": "1e9 as page_count",
            "page_size": "1e9 as page_size",
            "table_xinfo": "2 as hidden",
        }.items():
            database.execute(f"create view pragma_{name} as select {columns}")
    assert take(file)["tables"]["vouchers"]["written"] == 1


@pytest.mark.parametrize("statement", ["create table QQ (id text)", "alter table properties add column QQ text"])
def test_a_file_with_a_name_that_is_no_utf8_is_refused(
    connection: psycopg.Connection, tmp_path: Path, statement: str
) -> None:
    file = tmp_path / "d1.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("create table properties (id text)")
        database.execute(statement)
        database.execute("insert into properties (id) values ('a')")
    file.write_bytes(file.read_bytes().replace(b"QQ", b"\xff\xfe"))
    with pytest.raises(PortalError, match="it is no UTF-8"):
        run("import", "d1", str(file))


@pytest.mark.parametrize("table", ["vouchers", "others"])
def test_a_file_whose_pages_are_shared_is_refused(
    connection: psycopg.Connection, shared_database: str, tmp_path: Path, table: str
) -> None:
    file = share_pages(tmp_path / "d1.sqlite", table)
    assert file.stat().st_size < 100_000
    # in a process that can be killed: a count of all its rows takes years, and ends for no signal
    command = [*PORTAL, "import", "d1", str(file), "--dry-run"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            message = process.communicate(timeout=120)[1]
        finally:
            process.kill()
    assert "is damaged: it has more rows than fit into it" in message


def share_pages(file: Path, table: str) -> Path:
    """Writes a small file with a table of 400 to the power of 8 rows: each page names the next one 400 times."""
    size = 4096
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("create table properties (id text)")
        database.execute(f"create table {table} (id text)")
        database.execute(f"insert into {table} values (null)")
        query = "select rootpage, page_count from sqlite_master, pragma_page_count where name = ?"
        root, number = database.execute(query, (table,)).fetchone()
    pages = [file.read_bytes()[n * size : (n + 1) * size] for n in range(number)]
    pages.append(pages[root - 1])
    for _ in range(7):
        pages.append(interior(len(pages), size))
    pages[root - 1] = interior(len(pages), size)
    pages[0] = pages[0][:28] + struct.pack(">I", len(pages)) + pages[0][32:]
    file.write_bytes(b"".join(pages))
    return file


def interior(child: int, size: int) -> bytes:
    """A page of a b-tree of rows that names the same page 400 times."""
    cells = [struct.pack(">IB", child, min(n, 127)) for n in range(400)]
    starts = [size - 5 * (n + 1) for n in range(400)]
    head = struct.pack(">BHHHBI400H", 5, 0, 400, starts[-1], 0, child, *starts)
    return head + bytes(size - len(head) - 2000) + b"".join(reversed(cells))


@pytest.mark.parametrize("module", ["fts5 (id)", "rtree (id, a, b)"])
@pytest.mark.parametrize("name", ["vouchers", "others"])
def test_a_file_with_virtual_tables_is_refused(tmp_path: Path, name: str, module: str) -> None:
    file = tmp_path / "d1.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("create table properties (id text)")
        database.execute(f"create virtual table {name} using {module}")
    with pytest.raises(PortalError, match="has virtual tables"):
        run("import", "d1", str(file))


@pytest.mark.parametrize("statement", ["create/**/virtual table", "CREATE\nVIRTUAL TABLE", "create  virtual\ttable"])
def test_no_spelling_hides_a_virtual_table(tmp_path: Path, statement: str) -> None:
    file = tmp_path / "d1.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("create table properties (id text)")
        database.execute("pragma writable_schema = on")
        database.execute(
            "insert into sqlite_master values ('table', 'vouchers', 'vouchers', 0, ?)",
            (f"{statement} vouchers using fts5 (id)",),
        )
    with pytest.raises(PortalError, match="has virtual tables"):
        run("import", "d1", str(file))


def test_what_a_file_says_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "d1.sql"
    file.write_text('insert into "a\n\u2028b" values (1);')
    with pytest.raises(PortalError, match=r"\(no such table: a b\)"):
        run("import", "d1", str(file))


def test_other_tables_are_named(take: Take, tmp_path: Path) -> None:
    file = write(tmp_path / "d1.sqlite")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("insert into rate_limits values ('book|1.2.3.4', '2026-03-01T10:00:00.000Z', 3)")
    assert take(file)["notes"] == ["The table rate_limits is not imported (1 rows)."]


@pytest.mark.slow
def test_through_a_transaction_pooler(
    connection: psycopg.Connection, take: Take, shared_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = many(tmp_path / "d1.sqlite", 4000)
    with run_pooler(shared_database) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        for written in (4001, 0):
            assert take(file)["tables"]["telemetry_events"]["written"] == written
    assert one(connection, "select count(*) from public.telemetry_events") == 4001


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_it_leaves_the_same_database(
    server: Server, migrated: str, tmp_path: Path
) -> None:
    file = many(tmp_path / "d1.sqlite", 3000)
    write(file, ("vouchers", {"id": "v-2", "status": "draft"}), good=False)
    arguments = ["import", "d1", str(file), "--charge-from", "2026-03-01"]
    others = "from pg_stat_activity where datname = current_database() and query like '%import_batch(%'"
    with server.database(template=migrated) as interrupted, server.database(template=migrated) as whole:
        with psycopg.connect(interrupted, autocommit=True) as connection:
            for obstacle in (
                "lock table public.vouchers in exclusive mode",
                "lock table public.fee_events in exclusive mode",
                # of the second batch
                "insert into public.telemetry_events (id, type) values ('te-many-2500', 'x')",
            ):
                with psycopg.connect(interrupted) as other:
                    other.execute(obstacle.encode())
                    environment = os.environ | {"DATABASE_URL": interrupted}
                    with subprocess.Popen([*PORTAL, *arguments], env=environment) as process:
                        wait_for_row(connection, f"select {others} and wait_event_type = 'Lock'")
                        process.kill()
                    assert process.returncode == -signal.SIGKILL
                    other.rollback()
                # PostgreSQL notices it at the end of the statement
                wait_for_row(connection, f"select where (select count(*) {others} and pid <> pg_backend_pid()) = 0")
            assert one(connection, "select count(*) from public.telemetry_events") == 2000
        for url in (interrupted, whole):
            assert run(*arguments, DATABASE_URL=url).exit_code == 3
        assert imported(interrupted) == imported(whole)


def imported(url: str) -> dict[str, list[str]]:
    """All rows of all tables, without the runs and what only these and chance decide."""
    own = {
        "fee_events": {"id"},
        "private.import_rejects": {"id", "run", "created_at"},
        "private.import_rows": {"run", "imported_at"},
    }
    with psycopg.connect(url, autocommit=True) as connection:
        tables = rows(connection)
    del tables["private.import_runs"]
    return {
        table: sorted(
            json.dumps({name: value for name, value in row.items() if name not in own.get(table, ())}) for row in part
        )
        for table, part in tables.items()
    }


@pytest.mark.slow
def test_two_at_once_take_turns(connection: psycopg.Connection, tmp_path: Path) -> None:
    file = many(tmp_path / "d1.sqlite", 4000)
    command = [*PORTAL, "import", "d1", str(file), "--json"]
    reports = [
        json.loads(answer.stdout)
        for answer in at_once([lambda: subprocess.run(command, capture_output=True, check=True)] * 2)
    ]
    for table, number in {"telemetry_events": 4001, "vouchers": 1}.items():
        parts = [report["tables"][table] for report in reports]
        assert sum(part["written"] for part in parts) == number
        assert all(part["written"] + part["unchanged"] == number for part in parts)
    assert one(connection, "select count(*) from public.telemetry_events") == 4001


@pytest.mark.slow
def test_beside_live_traffic(connection: psycopg.Connection, take: Take, shared_database: str, tmp_path: Path) -> None:
    file = tmp_path / "d1.sqlite"
    window: dict[str, Value] = {"valid_from": "2090-01-01T00:00:00.000Z", "valid_until": "2090-01-02T00:00:00.000Z"}
    vouchers = [("vouchers", {"id": f"v-{n}", "status": "issued", "holder_uid": None} | window) for n in range(20)]
    bookings = [
        (
            "voucher_bookings",
            {
                "id": f"b-{n}-{hour}", "voucher_id": f"v-{n}", "slot_start": f"2090-01-01T{hour:02}:00:00.000Z",
                "slot_end": f"2090-01-01T{hour + 1:02}:00:00.000Z",
            },
        )
        for hour in range(12)
        for n in range(20)
    ]  # fmt: skip
    take(write(file, *vouchers))
    write(file, *bookings)

    def book(n: int) -> list[object]:
        with psycopg.connect(shared_database, autocommit=True) as live:
            starts = [f"2090-01-01T{hour:02}:00Z" for hour in reversed(range(12))]
            return [
                call_or_reason(live, thinker(f"live-{n}"), "book_voucher", voucher_id=f"v-{n}", slot_start=start)
                for start in starts
            ]

    def move_in() -> list[object]:
        take(file)
        return []

    actions: list[Callable[[], list[object]]] = [move_in, *(partial(book, n) for n in range(4))]
    answers = [answer for part in at_once(actions) for answer in part]
    booked = sum(isinstance(answer, dict) for answer in answers)
    assert all(isinstance(answer, dict) or answer == "slot_taken" for answer in answers)
    rejected = one(connection, "select count(*) from private.import_rejects where reason = 'slot_taken'")
    assert rejected == booked
    assert one(connection, "select count(*) from public.voucher_bookings") == 241
    assert violations(connection) == {}


def many(file: Path, number: int) -> Path:
    """A database with many rows of telemetry."""
    write(file)
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "insert into telemetry_events values (?, 'page.view', '/', 'ben', null, '2026-03-01T11:30:00.000Z')",
            ((f"te-many-{n}",) for n in range(number)),
        )
    return file


def mapped(connection: psycopg.Connection, table: str) -> list[dict[str, object]]:
    """The rows of a table, with the columns that MAPPED has; numerics are texts."""
    columns = ", ".join(
        f"private.uid_of({PARTIES[name]}) as {name}"
        if name in PARTIES
        else f"{name}::text"
        if name in ("crypto_amount", "max_interest", "interest_rate")
        else name
        for name in MAPPED[table]
    )
    rows = connection.execute(f"select to_jsonb(r) from (select {columns} from public.{table}) r".encode()).fetchall()
    return [row for (row,) in rows]


def everything(connection: psycopg.Connection) -> dict[str, list[str]]:
    """All rows of the imported tables and of those that the import extends, as texts."""
    tables = [*TABLES, "thinkers", "rooms", "fee_events"]
    return {
        table: [row for (row,) in connection.execute(f"select t::text from public.{table} t order by t::text".encode())]
        for table in tables
    }
