"""Rows of lists, which become JSON without a model of each."""

import json

import psycopg

from api.actor import SERVER, Actor
from api.models.base import ApiModel
from api.routes.admin.monitoring import Event
from api.routes.admin.settlements import Settlement
from api.routes.contracts import Contract
from api.routes.mortgages import common, hypotheken, mortgage
from api.routes.presence import Session
from api.routes.telbank import Transfer
from api.routes.voucher import Booking, NewBooking, Voucher
from tests.support.acting import call
from tests.support.usage import ANNA, BEN, use

DOCUMENT = {
    "contract_id": "01980000-0000-7000-8000-000000000001",
    "name": "vertrag.pdf",
    "mime_type": "application/pdf",
    "byte_size": 1024,
    "storage_url": "contracts/c/vertrag.pdf",
    "hash_sha256": "0" * 64,
}

LISTS: list[tuple[str, Actor, dict[str, object], list[type[ApiModel]]]] = [
    ("list_vouchers", SERVER, {}, [Voucher]),
    ("list_bookings", SERVER, {}, [Booking, NewBooking]),
    ("list_transfers", SERVER, {}, [Transfer]),
    ("list_contracts", SERVER, {"voucher_id": "kept"}, [Contract]),
    ("list_mortgage_applications", ANNA, {"role": "borrower"}, [common.Application, mortgage.Application]),
    ("list_mortgage_offers", BEN, {"role": "lender"}, [hypotheken.Offer, mortgage.Offer]),
    ("list_presence", SERVER, {}, [Session]),
    ("list_events", SERVER, {}, [Event]),
    ("list_settlements", SERVER, {}, [Settlement]),
]


def test_a_row_of_a_list_is_the_same_json_as_its_model(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'")
        use(connection)
        # neither is a float, nor whole seconds the usual form of a time
        transfer = {"crypto_amount": 2, "crypto_symbol": "ETH", "fiat_major": 2500, "fiat_currency": "EUR"}
        call(connection, ANNA, "log_transfer", direction="in", **transfer, meta={"1": [1, 1.50]})
        call(connection, Actor("service_role", "anna"), "record_contract", **DOCUMENT, voucher_id="kept")
        call(connection, ANNA, "apply_for_mortgage", application_id="dear", max_interest=3, desired_loan=100)
        call(connection, BEN, "offer_mortgage", application_id="dear", offer_id="other", interest_rate=3)
        for function, actor, filters, models in LISTS:
            rows = call(connection, actor, function, **filters, max_rows=1000)
            assert rows, function
            for model in models:
                for row in rows:
                    assert json.dumps(model.json_of(row)) == json.dumps(
                        model.from_row(row).model_dump(mode="json", by_alias=True)
                    ), model
