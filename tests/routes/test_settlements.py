"""What operators read about fees and settlements over /api/admin, through each gateway."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from api.actor import SERVER
from tests.support.acting import call, one
from tests.support.charging import charge, reverse
from tests.support.data_api import JWT_SECRET, through_data_api, token
from tests.support.databases import empty
from tests.support.serving import Answer, Connection, serve, settings_in

KEY = "a long random text"
UNKNOWN = "00000000-0000-7000-8000-000000000000"
LISTS = ["/api/admin/settlements", "/api/admin/fees"]


@pytest.fixture(scope="module", params=["direct", "data api"])
def url(
    request: pytest.FixtureRequest, shared_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of an app that requires a key or a token, through each of the gateways."""
    folder: Path = tmp_path_factory.mktemp("keyed")
    settings = settings_in(folder, ts_api_key=SecretStr(KEY), jwt_secret=JWT_SECRET, rate_limit="off")
    with ExitStack() as running:
        if request.param == "direct":
            yield running.enter_context(serve(settings, shared_database))
        else:
            settings = running.enter_context(through_data_api(settings, shared_database))
            yield running.enter_context(serve(settings, None))


@pytest.fixture
def client(url: str) -> Iterator[Connection]:
    with Connection(url) as connection:
        yield connection


@pytest.fixture
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """A connection to the database, which is empty."""
    empty(shared_database)
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


def ask(client: Connection, path: str) -> Answer:
    return client.ask("GET", path, headers={"X-TS-APIKEY": KEY})


def read(client: Connection, path: str) -> Any:
    """Reads as a trusted caller."""
    answer = ask(client, path)
    assert answer.status == 200, answer.body
    assert answer.body["ok"] is True
    return answer.body


def settle(connection: psycopg.Connection, month: str = "2025-03-01") -> list[str]:
    """Settles a month, and returns the ids of the settlements."""
    made = one(connection, "select public.settle_fees(%s, (%s::date + interval '1 month')::date)", month, month)
    return [settlement["id"] for settlement in made]


class TestWhoMayRead:
    PATHS = (*LISTS, f"/api/admin/settlements/{UNKNOWN}")

    @pytest.mark.parametrize("path", PATHS)
    def test_outsider_may_not(self, client: Connection, path: str) -> None:
        assert client.get(path).status == 401

    @pytest.mark.parametrize("path", PATHS)
    def test_thinker_may_not(self, client: Connection, path: str) -> None:
        answer = client.get(path, authorization=f"Bearer {token('authenticated', 'togethersystems')}")
        assert (answer.status, answer.body) == (403, {"ok": False, "error": "only admins may see this"})

    def test_admin_may(self, client: Connection, connection: psycopg.Connection) -> None:
        charge(connection, "2025-03-05", 1)
        [settlement] = settle(connection)
        connection.execute(
            "insert into public.thinkers (id, public_id, roles) values (private.thinker_id('ada'), 'ada', '{admin}')"
        )
        for path in (*LISTS, f"/api/admin/settlements/{settlement}"):
            answer = client.get(path, authorization=f"Bearer {token('authenticated', 'ada')}")
            assert answer.body == read(client, path)


class TestSettlements:
    def test_fields_of_a_settlement(self, client: Connection, connection: psycopg.Connection) -> None:
        charge(connection, "2025-03-05", 1234)
        [settlement] = settle(connection)
        call(connection, SERVER, "invoice_settlement", settlement_id=settlement)
        call(connection, SERVER, "void_settlement", settlement_id=settlement, reason="wrong month")
        [shown] = read(client, "/api/admin/settlements")["items"]
        times = one(
            connection,
            "select jsonb_agg(to_char(t at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') order by n)"
            " from public.settlements, unnest(array[created_at, invoiced_at, voided_at]) with ordinality as u (t, n)",
        )
        assert shown == {
            "id": settlement,
            "beneficiaryUid": "togethersystems",
            "periodFrom": "2025-03-01",
            "periodTo": "2025-04-01",
            "totalCents": 1234,
            "currency": "EUR",
            "status": "voided",
            "createdAt": times[0],
            "invoicedAt": times[1],
            "paidAt": None,
            "voidedAt": times[2],
            "voidReason": "wrong month",
            "number": f"{times[1][:4]}-0001",
            "dueOn": one(connection, "select due_on::text from public.settlements"),
            "writtenOffAt": None,
            "writeOffReason": None,
            "createdBy": one(connection, "select session_user::text"),
            "invoicedBy": "service_role",
            "paidBy": None,
            "voidedBy": "service_role",
            "writtenOffBy": None,
            "paidCents": 0,
            "isOverdue": False,
        }

    def test_the_latest_period_comes_first(self, client: Connection, connection: psycopg.Connection) -> None:
        for month in ("2025-03", "2024-12", "2025-01"):
            charge(connection, f"{month}-05", 1, month.replace("-", ""))
        for month in ("2024-12", "2025-01", "2025-03"):
            settle(connection, f"{month}-01")
        shown = [item["periodFrom"] for item in read(client, "/api/admin/settlements")["items"]]
        assert shown == ["2025-03-01", "2025-01-01", "2024-12-01"]

    @pytest.mark.parametrize(
        ("query", "currencies"),
        [
            ("", {"EUR", "JPY", "KWD"}),
            ("?status=&beneficiaryUid=&limit=", {"EUR", "JPY", "KWD"}),
            ("?status=open", {"EUR", "KWD"}),
            ("?status=invoiced", {"JPY"}),
            ("?status=OPEN", set()),
            ("?status=unknown", set()),
            ("?beneficiaryUid=notary", {"KWD"}),
            ("?beneficiaryUid=nobody", set()),
            (f"?beneficiaryUid={'x' * 10_000}", set()),
            ("?beneficiaryUid=notary&status=paid", set()),
            ("?beneficiaryUid=togethersystems&status=open", {"EUR"}),
        ],
    )
    def test_filters(
        self, client: Connection, connection: psycopg.Connection, query: str, currencies: set[str]
    ) -> None:
        charge(connection, "2025-03-05", 1)
        charge(connection, "2025-03-05", 1, "JPY")
        charge(connection, "2025-03-05", 1, "KWD", "notary")
        settle(connection)
        invoiced = one(connection, "select id from public.settlements where currency = 'JPY'")
        call(connection, SERVER, "invoice_settlement", settlement_id=invoiced)
        shown = read(client, f"/api/admin/settlements{query}")["items"]
        assert {item["currency"] for item in shown} == currencies

    @pytest.mark.parametrize(("limit", "number"), [("1", 1), ("2", 2), ("3", 3), ("999999999", 3), ("0", 1), ("-5", 1)])
    def test_limit(self, client: Connection, connection: psycopg.Connection, limit: str, number: int) -> None:
        for currency in ("EUR", "JPY", "KWD"):
            charge(connection, "2025-03-05", 1, currency)
        settle(connection)
        assert len(read(client, f"/api/admin/settlements?limit={limit}")["items"]) == number


class TestStatement:
    def test_fields_of_a_charge_and_of_its_reversal(self, client: Connection, connection: psycopg.Connection) -> None:
        charged = charge(
            connection, "2025-03-05 10:00:00.123456Z", 500, base=12025, rate="0.0250", bound="minimum", payer="anna"
        )
        reversal = reverse(connection, charged, "2025-03-06 23:30Z")
        [settlement] = settle(connection)
        shown = read(client, f"/api/admin/settlements/{settlement}")
        [listed] = read(client, "/api/admin/settlements")["items"]
        assert shown["settlement"] == listed | {
            "decimals": 2,
            "feeEvents": 2,
            "chargedCents": 500,
            "reversedCents": -500,
            "adjustedCents": 0,
            "payers": [{"payerUid": "anna", "feeEvents": 2, "totalCents": 0}],
            "payments": [],
            "replaces": [],
            "replacedBy": [],
        }
        assert shown["settlement"]["totalCents"] == 0
        subject = one(connection, "select distinct subject_id from public.fee_events")
        same = {
            "feeId": "voucher.booking",
            "subjectType": "voucher_booking",
            "subjectId": subject,
            "currency": "EUR",
            "payerUid": "anna",
            "adjusts": None,
            "operator": None,
            "month": "2025-03-01",
            "slotStart": None,
            "correctsSettlementId": None,
            "correctsNumber": None,
            "reversedBySettlementId": None,
            "reversedByNumber": None,
        }
        # ids of the same millisecond have no order
        assert sorted(shown["items"], key=lambda item: item["createdAt"]) == [
            same
            | {
                "id": str(charged),
                "createdAt": "2025-03-05T10:00:00.123Z",
                "amountCents": 500,
                "baseCents": 12025,
                "rate": 0.025,
                "fixedCents": 0,
                "unrounded": "300.625",
                "bound": "minimum",
                "reverses": None,
                "reason": None,
                "reversedBySettlementId": settlement,
            },
            same
            | {
                "id": str(reversal),
                "createdAt": "2025-03-06T23:30:00.000Z",
                "amountCents": -500,
                "baseCents": None,
                "rate": None,
                "fixedCents": None,
                "unrounded": None,
                "bound": None,
                "reverses": str(charged),
                "reason": None,
                "correctsSettlementId": settlement,
            },
        ]

    @pytest.mark.parametrize("rate", ["0.0001", "0.1234", "0.3333", "0.7777", "0.9999", "1"])
    def test_an_unrounded_amount_has_every_digit(
        self, client: Connection, connection: psycopg.Connection, rate: str
    ) -> None:
        charge(connection, "2025-03-05", base=9007199254740991, rate=rate)
        [settlement] = settle(connection)
        [item] = read(client, f"/api/admin/settlements/{settlement}")["items"]
        exact = one(connection, "select trim_scale(9007199254740991 * %s::numeric)::text", rate)
        assert (item["unrounded"], item["rate"]) == (exact, float(rate))
        assert item["amountCents"] == one(connection, "select round(%s::numeric)::bigint", exact)

    @pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD"])
    def test_totals_are_whole_minor_units_of_any_currency(
        self, client: Connection, connection: psycopg.Connection, currency: str
    ) -> None:
        first = charge(connection, "2025-03-05", 234, currency)
        settle(connection)
        reverse(connection, first, "2025-04-02")
        charge(connection, "2025-04-03", 1234, currency)
        [settlement] = settle(connection, "2025-04-01")
        shown = read(client, f"/api/admin/settlements/{settlement}")["settlement"]
        assert (shown["totalCents"], shown["chargedCents"], shown["reversedCents"]) == (1000, 1234, -234)
        assert shown["currency"] == currency

    def test_pages_contain_every_fee_event_once(self, client: Connection, connection: psycopg.Connection) -> None:
        for number in range(7):
            charge(connection, "2025-03-05", number)
        [settlement] = settle(connection)
        path, after, amounts = f"/api/admin/settlements/{settlement}?limit=3", "", []
        while items := read(client, f"{path}&after={after}")["items"]:
            amounts.append([item["amountCents"] for item in items])
            after = items[-1]["id"]
        assert [len(page) for page in amounts] == [3, 3, 1]
        assert sorted(chain(*amounts)) == list(range(7))

    def test_a_voided_settlement_keeps_its_lines_and_names_the_one_that_replaced_it(
        self, client: Connection, connection: psycopg.Connection
    ) -> None:
        charge(connection, "2025-03-05", 1234, payer="anna")
        [voided] = settle(connection)
        call(connection, SERVER, "void_settlement", settlement_id=voided)
        [settlement] = settle(connection)
        call(connection, SERVER, "invoice_settlement", settlement_id=settlement)
        call(connection, SERVER, "pay_settlement", settlement_id=settlement, amount_cents=34, reference="bank 7")
        shown, old = (read(client, f"/api/admin/settlements/{each}") for each in (settlement, voided))
        assert old["items"] == shown["items"]
        assert (old["settlement"]["totalCents"], old["settlement"]["feeEvents"]) == (1234, 1)
        number = shown["settlement"]["number"]
        assert old["settlement"]["replacedBy"] == [{"id": settlement, "number": number, "status": "invoiced"}]
        assert shown["settlement"]["replaces"] == [{"id": voided, "number": None, "status": "voided"}]
        [payment] = shown["settlement"]["payments"]
        assert (payment["amountCents"], payment["reference"], payment["recordedBy"]) == (34, "bank 7", "service_role")
        assert shown["settlement"]["paidCents"] == 34

    def test_a_period_beyond_the_years_of_python(self, client: Connection, connection: psycopg.Connection) -> None:
        # settle_fees refuses it, but an operator may have inserted one
        connection.execute(
            "insert into public.settlements (beneficiary_id, period_from, period_to, total_cents, currency) "
            "select beneficiary_id, '9999-12-01', '10000-01-01', 0, 'EUR' from public.fees limit 1"
        )
        [shown] = read(client, "/api/admin/settlements")["items"]
        assert (shown["periodFrom"], shown["periodTo"]) == ("9999-12-01", "10000-01-01")

    @pytest.mark.parametrize("settlement", [UNKNOWN, "1", "unknown", "a%00b", "%ff", "x" * 10_000])
    def test_an_unknown_settlement_is_404(self, client: Connection, settlement: str) -> None:
        answer = ask(client, f"/api/admin/settlements/{settlement}")
        assert (answer.status, answer.body) == (404, {"ok": False, "error": "settlement not found"})

    @pytest.mark.parametrize(
        ("query", "sentence"),
        [
            ("after=1", "invalid value: no UUID"),
            ("after=a%00b", "invalid value: no UUID"),
            ("limit=1.5", "limit must be a whole number"),
            ("limit=all", "limit must be a whole number"),
        ],
    )
    def test_an_invalid_page_is_refused(self, client: Connection, query: str, sentence: str) -> None:
        answer = ask(client, f"/api/admin/settlements/{uuid4()}?{query}")
        assert (answer.status, answer.body) == (400, {"ok": False, "error": sentence})


class TestFees:
    def test_the_fees_of_the_portal(self, client: Connection) -> None:
        shown = {fee["id"]: fee for fee in read(client, "/api/admin/fees")["items"]}
        assert shown["voucher.booking"] | {"versions": []} == {
            "id": "voucher.booking",
            "scope": "voucher",
            "percentage": 0.02,
            "fixedAmount": 0,
            "currency": None,
            "minCents": None,
            "maxCents": None,
            "active": True,
            "reversedAfterStart": False,
            "beneficiaryUid": "togethersystems",
            "payer": None,
            "meta": {},
            "versions": [],
        }
        assert shown["transfer.logged"]["active"] is False

    def test_a_fee_has_its_versions_newest_first(self, client: Connection, connection: psycopg.Connection) -> None:
        name = f"room.{uuid4()}"
        charge(connection, "2025-03-05", 1, beneficiary="notary")
        connection.execute("insert into public.fees (id, scope, percentage) values (%s, 'room', 0.0001)", (name,))
        connection.execute(
            "update public.fees set percentage = 0.9999, currency = 'KWD', fixed_amount = 7, min_cents = 8,"
            " max_cents = 9007199254740991, beneficiary_id = private.thinker_id('notary') where id = %s",
            (name,),
        )
        [fee] = (fee for fee in read(client, "/api/admin/fees")["items"] if fee["id"] == name)
        newest, oldest = fee["versions"]
        assert newest == {
            "validFrom": newest["validFrom"],
            "percentage": 0.9999,
            "fixedAmount": 7,
            "currency": "KWD",
            "minCents": 8,
            "maxCents": 9007199254740991,
            "active": False,
            "reversedAfterStart": False,
            "beneficiaryUid": "notary",
            "payer": None,
            "changedBy": one(connection, "select session_user::text"),
        }
        assert {key: fee[key] for key in newest.keys() - {"validFrom", "changedBy"}}.items() <= newest.items()
        assert (oldest["percentage"], oldest["currency"], oldest["beneficiaryUid"]) == (0.0001, None, "togethersystems")
        assert oldest["validFrom"] <= newest["validFrom"]
