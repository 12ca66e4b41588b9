"""Legacy D1 databases: their schema, and rows as the Cloudflare functions write them."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = str | int | float | bytes | None

SCHEMA = """
    create table transfers (id text primary key, direction text not null, label text, wallet_address text, network text,
      crypto_amount real not null, crypto_symbol text not null, fiat_amount real not null, fiat_currency text not null,
      external_account text, meta text, status text not null, created_at text not null, updated_at text not null);
    create table vouchers (id text primary key, issuer_uid text not null, holder_uid text, service_type text not null,
      title text, description text, duration_minutes integer not null, valid_from text not null,
      valid_until text not null, price_amount real, price_currency text, status text not null,
      transferable integer not null, terms text, created_at text not null);
    create table voucher_bookings (id text primary key, voucher_id text not null references vouchers (id),
      issuer_uid text not null, holder_uid text not null, slot_id text not null, slot_start text not null,
      slot_end text not null, status text not null, cancel_reason text, created_at text not null, cancelled_at text);
    create table properties (id text primary key, address text, meta text);
    create table mortgage_applications (id text primary key, property_id text not null, borrower_uid text not null,
      desired_loan real not null, currency text not null, duration_years integer not null, rate_type text not null,
      max_interest real, status text not null, meta text, created_at text not null);
    create table mortgage_offers (id text primary key, application_id text not null, lender_uid text not null,
      interest_rate real not null, monthly_payment real not null, status text not null, created_at text not null);
    create table contracts (id text primary key, name text not null, mime_type text, byte_size integer,
      storage_url text not null, hash_sha256 text, created_by text, created_at text not null);
    create table contract_links (id text primary key, contract_id text not null, voucher_id text, room_id text,
      role text, created_at text not null);
    create table events (id text primary key, type text not null, actor_id text, subject_type text, subject_id text,
      meta text, created_at text not null);
    create table rate_limits (key text primary key, window_start text not null, count integer not null);
    create table telemetry_events (id text primary key, type text not null, path text, actor_uid text, meta text,
      created_at text not null);
"""

ROWS: dict[str, dict[str, Value]] = {
    "transfers": {
        "id": "in-1", "direction": "in", "label": "Fiat→Crypto inflow", "wallet_address": "0xabc",
        "network": "Polygon", "crypto_amount": 0.1, "crypto_symbol": "ETH", "fiat_amount": 250.5,
        "fiat_currency": "eur", "external_account": None, "meta": '{"source": "tpga-telbank-console"}',
        "status": "logged", "created_at": "2026-03-01T10:00:00.123Z", "updated_at": "2026-03-01T10:00:00.123Z",
    },
    "vouchers": {
        "id": "v-1", "issuer_uid": "anna", "holder_uid": "ben", "service_type": "consulting.session",
        "title": "Beratung", "description": "", "duration_minutes": 60, "valid_from": "2026-03-02T09:00:00.000Z",
        "valid_until": "2026-03-02T12:00:00.000Z", "price_amount": 12000.0, "price_currency": "EUR",
        "status": "booked", "transferable": 1, "terms": '{"template": "consulting"}',
        "created_at": "2026-03-01T10:00:00.000Z",
    },
    "voucher_bookings": {
        "id": "b-1", "voucher_id": "v-1", "issuer_uid": "anna", "holder_uid": "ben",
        "slot_id": "slot-2026-03-02T09:00:00.000Z", "slot_start": "2026-03-02T09:00:00.000Z",
        "slot_end": "2026-03-02T10:00:00.000Z", "status": "booked", "cancel_reason": None,
        "created_at": "2026-03-01T11:00:00.000Z", "cancelled_at": None,
    },
    "properties": {"id": "house-1", "address": "Am Markt 1", "meta": '{"rooms": 3}'},
    "mortgage_applications": {
        "id": "app-1", "property_id": "house-1", "borrower_uid": "clara", "desired_loan": 36000000.0,
        "currency": "EUR", "duration_years": 20, "rate_type": "fixed", "max_interest": 0.04, "status": "open",
        "meta": '{"netIncomeMonthly": 380000}', "created_at": "2026-03-03T10:00:00.000Z",
    },
    "mortgage_offers": {
        "id": "mort-offer-1", "application_id": "app-1", "lender_uid": "lena", "interest_rate": 0.031,
        "monthly_payment": 210000.0, "status": "open", "created_at": "2026-03-04T10:00:00.000Z",
    },
    "contracts": {
        "id": "ct-1", "name": "Vertrag.pdf", "mime_type": "application/pdf", "byte_size": 3,
        "storage_url": "contracts/ct-1/Vertrag.pdf",
        "hash_sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "created_by": "anna",
        "created_at": "2026-03-05T10:00:00.000Z",
    },
    "contract_links": {
        "id": "cl-1", "contract_id": "ct-1", "voucher_id": "v-1", "room_id": "desk", "role": "primary",
        "created_at": "2026-03-05T10:00:00.000Z",
    },
    "events": {
        "id": "ev-1", "type": "voucher.book", "actor_id": "ben", "subject_type": "voucher_booking",
        "subject_id": "b-1", "meta": '{"voucherId": "v-1", "slotStart": "2026-03-02T09:00:00.000Z"}',
        "created_at": "2026-03-01T11:00:00.000Z",
    },
    "telemetry_events": {
        "id": "te-1", "type": "page.view", "path": "/", "actor_uid": "ben", "meta": None,
        "created_at": "2026-03-01T11:30:00.000Z",
    },
}  # fmt: skip
"""A row of each table that can be imported; those to which it refers are here too."""


def write(file: Path, *changes: tuple[str, Mapping[str, Value]], good: bool = True) -> Path:
    """Makes or extends a database: with ROWS, and with a row for each change, which replaces one of its id."""
    with closing(sqlite3.connect(file)) as database, database:
        if not database.execute("select from_ from (select count(*) as from_ from sqlite_master)").fetchone()[0]:
            database.executescript(SCHEMA)
        for table, row in [*(ROWS.items() if good else ()), *((t, {**ROWS[t], **change}) for t, change in changes)]:
            names = ", ".join(row)
            marks = ", ".join("?" * len(row))
            database.execute(f"insert or replace into {table} ({names}) values ({marks})", tuple(row.values()))
    return file


def dump(file: Path, target: Path) -> Path:
    """Writes the dump of a database, as `wrangler d1 export` does."""
    with closing(sqlite3.connect(file)) as database, target.open("w", encoding="utf-8") as lines:
        lines.write("PRAGMA defer_foreign_keys=TRUE;\n")
        for statement in database.iterdump():
            if statement not in ("BEGIN TRANSACTION;", "COMMIT;"):
                lines.write(f"{statement}\n")
    return target


def as_json(value: object) -> str:
    """JSON as the functions write it."""
    return json.dumps(value, separators=(",", ":"))
