"""Telbank's amounts: major units in JSON, minor units in the table, without loss."""

import json
from decimal import Decimal
from http.client import HTTPConnection
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.serving import Connection

TRANSFERS = "/api/telbank/transfers"


class Logged:
    """A logged transfer, in JSON and in the table."""

    def __init__(self, url: str, database: str, *, fiat: str = "1", currency: str = "EUR", crypto: str = "1") -> None:
        body = (
            f'{{"direction": "in", "cryptoAmount": {crypto}, "cryptoSymbol": "ETH",'
            f' "fiatAmount": {fiat}, "fiatCurrency": "{currency}"}}'
        )
        address = urlsplit(url)
        connection = HTTPConnection(address.hostname or "", address.port)
        try:
            connection.request("POST", TRANSFERS, body)
            response = connection.getresponse()
            self.text = response.read().decode()
            assert response.status == 200, self.text
            transfer_id = json.loads(self.text)["transfer"]["id"]
            connection.request("GET", f"{TRANSFERS}/{transfer_id}")
            assert json.loads(connection.getresponse().read()) == json.loads(self.text)
        finally:
            connection.close()
        with psycopg.connect(database) as table:
            row = table.execute(
                "select fiat_amount, crypto_amount, fiat_currency from public.transfers where id = %s", (transfer_id,)
            ).fetchone()
        assert row
        self.stored_fiat, self.stored_crypto, self.stored_currency = row

    def shown(self, name: str) -> Decimal:
        """Returns the number in the JSON, digit by digit."""
        transfer = json.loads(self.text, parse_float=Decimal, parse_int=Decimal)["transfer"]
        number = transfer[name]
        assert isinstance(number, Decimal)
        return number


@pytest.mark.parametrize(
    ("fiat", "currency", "stored", "shown"),
    [
        ("1500.75", "EUR", 150075, "1500.75"),
        ("1500.75", "eur", 150075, "1500.75"),
        ("0.1", "EUR", 10, "0.1"),
        ("0.07", "EUR", 7, "0.07"),
        ("1.1", "USD", 110, "1.1"),
        ("4.35", "EUR", 435, "4.35"),  # 4.35 * 100 is 434.99999999999994 in doubles
        ("1.005", "EUR", 101, "1.01"),  # and the double 1.005 is less than its text
        ("0.005", "EUR", 1, "0.01"),
        ("-0.005", "EUR", -1, "-0.01"),
        ("0.0049999", "EUR", 0, "0"),
        ("2.345", "EUR", 235, "2.35"),
        ("-2.345", "EUR", -235, "-2.35"),
        ("2.355", "EUR", 236, "2.36"),
        ("-2.355", "EUR", -236, "-2.36"),
        ("-1500.75", "EUR", -150075, "-1500.75"),
        ("0", "EUR", 0, "0"),
        ("1e3", "EUR", 100000, "1000"),
        ("1500", "JPY", 1500, "1500"),
        ("0.5", "JPY", 1, "1"),
        ("-0.5", "JPY", -1, "-1"),
        ("2.5", "JPY", 3, "3"),
        ("1.234", "KWD", 1234, "1.234"),
        ("1.2345", "KWD", 1235, "1.235"),
        ("-1.2345", "KWD", -1235, "-1.235"),
        ("0.0001", "CLF", 1, "0.0001"),
        ("90071992547409.91", "EUR", 9007199254740991, "90071992547409.91"),
        ("-90071992547409.91", "EUR", -9007199254740991, "-90071992547409.91"),
        ("9007199254740991", "JPY", 9007199254740991, "9007199254740991"),
    ],
)
def test_fiat_is_stored_in_minor_units_and_shown_in_major_ones(
    shared_portal: str, shared_database: str, fiat: str, currency: str, stored: int, shown: str
) -> None:
    logged = Logged(shared_portal, shared_database, fiat=fiat, currency=currency)
    assert logged.stored_fiat == stored
    assert logged.stored_currency == currency.upper()
    # the shortest digits of a double, as JavaScript writes them
    assert logged.shown("fiatAmount") == Decimal(repr(float(shown)))


@pytest.mark.parametrize(
    ("crypto", "stored", "shown"),
    [
        ("1.5", "1.5", "1.5"),
        ("0.123456789012345678", "0.123456789012345678", "0.12345678901234568"),
        ("-0.123456789012345678", "-0.123456789012345678", "-0.12345678901234568"),
        ("0.000000000000000001", "0.000000000000000001", "1e-18"),
        ("123456789012345678.123456789012345678", "123456789012345678.123456789012345678", "123456789012345680"),
        ("1e-18", "0.000000000000000001", "1e-18"),
        ("0", "0", "0"),
        ("1e17", "100000000000000000", "100000000000000000"),
        ("123456789012345678", "123456789012345678", "123456789012345680"),
        # numeric(36,18) would round these
        ("1e-19", "1e-19", "1e-19"),
        ("0.000012345678901234567", "0.000012345678901234567", "0.000012345678901234567"),
        ("5e-324", "5e-324", "5e-324"),
        ("1e-400", "1e-400", "0"),
        ("0e-16000", "0", "0"),
    ],
)
def test_crypto_keeps_its_decimals_in_the_table_and_is_a_double_in_json(
    shared_portal: str, shared_database: str, crypto: str, stored: str, shown: str
) -> None:
    logged = Logged(shared_portal, shared_database, crypto=crypto)
    assert logged.stored_crypto == Decimal(stored)
    assert float(logged.shown("cryptoAmount")) == float(shown)


@pytest.mark.parametrize("name", ["fiatAmount", "cryptoAmount"])
@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 400, "1e18", '"1"', "true"]
)
def test_an_invalid_amount_is_refused(client: Connection, shared_database: str, name: str, number: str) -> None:
    amounts = {"fiatAmount": "1", "cryptoAmount": "1"} | {name: number}
    fields = ", ".join(f'"{field}": {value}' for field, value in amounts.items())
    body = f'{{"direction": "in", "cryptoSymbol": "ETH", "fiatCurrency": "EUR", {fields}}}'
    with psycopg.connect(shared_database, autocommit=True) as connection:
        before = connection.execute("select count(*) from public.transfers").fetchone()
        answer = client.ask("POST", TRANSFERS, raw=body.encode())
        assert (answer.status, answer.body["ok"]) == (400, False)
        assert connection.execute("select count(*) from public.transfers").fetchone() == before


@pytest.mark.parametrize("fiat", ["90071992547409.92", "-90071992547409.92", "90071992547409.915"])
def test_an_amount_beyond_exact_doubles_is_refused(client: Connection, fiat: str) -> None:
    body = (
        f'{{"direction": "in", "cryptoAmount": 1, "cryptoSymbol": "ETH", "fiatAmount": {fiat}, "fiatCurrency": "EUR"}}'
    )
    answer = client.ask("POST", TRANSFERS, raw=body.encode())
    assert (answer.status, answer.body) == (
        400,
        {"ok": False, "error": "amount out of range: whole minor units (cents), at most 9007199254740991"},
    )
