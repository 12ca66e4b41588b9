"""The commands for settlements, as an operator types them at a month's end."""

import csv
import getpass
import json
import os
import pty
import re
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from api.cli import settlements as cli_settlements
from api.cli.main import app
from api.database import open_database
from api.errors import PortalError
from api.settings import load_settings
from tests.cli.running import PORTAL, portal, rows, run
from tests.support.acting import one, unchecked
from tests.support.charging import charge, reverse
from tests.support.databases import empty
from tests.support.days import portal_today
from tests.support.serving import Connection

pytestmark = pytest.mark.clock

UNKNOWN = "019a3c5e-7c00-7abc-8def-0123456789ab"
OPTIONS = {"write-off": ["--reason", "-"], "adjust": ["--waive", "--reason", "-"], "reverse": ["--reason", "-"]}
"""The options that a command needs."""

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def connection(shared_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """A connection to the empty database that the commands work on."""
    empty(shared_database)
    monkeypatch.setenv("DATABASE_URL", shared_database)
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


def refused(*arguments: str) -> str:
    """Returns the message with which a command refuses."""
    with pytest.raises(PortalError) as refusal:
        run(*arguments)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def settle(*arguments: str) -> list[str]:
    """Returns the ids of the settlements that the command made."""
    return [row[6] for row in rows(portal("settle", *arguments))]


def csv_of(settlement: str) -> list[dict[str, str]]:
    return list(csv.DictReader(portal("statement", settlement, "--format", "csv").splitlines()))


class TestSettle:
    def test_shows_the_settlements_made(self, connection: psycopg.Connection) -> None:
        reverse(connection, charge(connection, "2025-03-05", 250), "2025-03-06")
        charge(connection, "2025-03-07", 1000)
        charge(connection, "2025-03-07", 5, "JPY")
        charge(connection, "2025-03-07", 1234, "KWD", "notary [bold] :smile:")
        output = portal("settle", "2025-03")
        assert [row[:6] for row in rows(output)] == [
            ["2025-03", "notary [bold] :smile:", "1", "0", "1.234", "KWD"],
            ["2025-03", "togethersystems", "2", "1", "10.00", "EUR"],
            ["2025-03", "togethersystems", "1", "0", "5", "JPY"],
        ]
        made = connection.execute("select id::text from public.settlements").fetchall()
        assert {settlement for (settlement,) in made} == {row[6] for row in rows(output)}
        assert portal("settle", "2025-03") == "Nothing to settle.\n"

    @pytest.mark.parametrize(
        ("amounts", "currency", "shown"),
        [
            ([1234], "EUR", "12.34"),
            ([5], "EUR", "0.05"),
            ([0], "EUR", "0.00"),
            ([10, 20], "USD", "0.30"),
            ([1234], "JPY", "1234"),
            ([1234], "KWD", "1.234"),
            ([1234], "CLF", "0.1234"),
            ([1234], "XXX", "12.34"),
            ([9007199254740991, 9007199254740991, 1], "EUR", "180143985094819.83"),
            ([9007199254740991] * 400 + [1], "KWD", "3602879701896396.401"),
        ],
    )
    def test_amounts_are_exact(
        self, connection: psycopg.Connection, amounts: list[int], currency: str, shown: str
    ) -> None:
        with connection.transaction():
            for amount in amounts:
                charge(connection, "2025-03-05", amount, currency)
        for arguments in (["--dry-run"], []):
            [row] = rows(portal("settle", "2025-03", *arguments))
            assert row[4] == shown

    def test_a_negative_month_waits_for_a_later_one(self, connection: psycopg.Connection) -> None:
        charged = charge(connection, "2025-03-05", 250)
        settle("2025-03")
        reverse(connection, charged, "2025-04-02")
        assert portal("settle") == "Nothing to settle.\n"
        charge(connection, "2025-05-05", 300)
        [row] = rows(portal("settle"))
        assert row[:6] == ["2025-05", "togethersystems", "1", "1", "0.50", "EUR"]

    def test_without_a_month_settles_what_is_due_oldest_first(self, connection: psycopg.Connection) -> None:
        charge(connection, "2025-05-05", 3)
        charge(connection, "2024-12-05", 1)
        charge(connection, "2025-03-05", 2)
        charge(connection, "now", 4)
        assert [(row[0], row[4]) for row in rows(portal("settle"))] == [
            ("2024-12", "0.01"),
            ("2025-03", "0.02"),
            ("2025-05", "0.03"),
        ]
        assert portal("settle") == "Nothing to settle.\n"

    def test_a_dry_run_shows_the_same_and_writes_nothing(self, connection: psycopg.Connection) -> None:
        reverse(connection, charge(connection, "2025-03-05", 250), "2025-04-06")
        charge(connection, "2025-03-05", 100)
        charge(connection, "2025-04-05", 7, "JPY")
        charge(connection, "2025-05-05", 1, beneficiary="notary")
        # nothing is left of this one, but it is settled
        reverse(connection, charge(connection, "2025-05-05", 9, "CHF"), "2025-05-06")
        before = one(connection, "select md5(string_agg(e::text, '')) from public.fee_events e")
        shown = portal("settle", "--dry-run")
        assert one(connection, "select count(*) from public.settlements") == 0
        assert one(connection, "select md5(string_agg(e::text, '')) from public.fee_events e") == before
        assert {row[6] for row in rows(shown)} == {"-"}
        assert "Nothing was written" in shown
        assert [row[:6] for row in rows(shown)] == [row[:6] for row in rows(portal("settle"))]
        assert [row[0] for row in rows(shown)] == ["2025-03", "2025-04", "2025-05", "2025-05"]

    def test_days_begin_in_the_portals_time_zone(self, connection: psycopg.Connection) -> None:
        charge(connection, "2025-03-31 21:59:59Z", 1)  # 23:59:59 in Berlin
        charge(connection, "2025-03-31 22:00:00Z", 2)
        assert [(row[0], row[4]) for row in rows(portal("settle"))] == [("2025-03", "0.01"), ("2025-04", "0.02")]

    def test_a_month_that_is_not_over_is_settled_with_a_warning(self, connection: psycopg.Connection) -> None:
        charge(connection, "now", 1)
        month = one(connection, "select to_char(now() at time zone 'Europe/Berlin', 'YYYY-MM')")
        assert portal("settle") == "Nothing to settle.\n"
        output = portal("settle", month)
        assert output.startswith(f"{month} is not over: ")
        assert [row[0] for row in rows(output)] == [month]
        assert "not over" not in portal("settle", "2025-03")

    def test_a_month_that_has_not_begun_is_not_settled(self, connection: psycopg.Connection) -> None:
        charge(connection, "now", 1)
        assert refused("settle", "2926-10") == "2926-10 has not begun."
        assert one(connection, "select count(*) from public.settlements") == 0

    @pytest.mark.parametrize("month", ["2026-13", "2026-00", "October", "2026", "0000-01", "2026-10-01", ""])
    def test_an_invalid_month_is_refused(self, connection: psycopg.Connection, month: str) -> None:
        charge(connection, "2025-03-05", 1)
        result = run("settle", month)
        assert result.exit_code == 2
        assert "does not match" in result.stderr
        assert one(connection, "select count(*) from public.settlements") == 0

    def test_settlements_made_before_an_error_are_shown(
        self, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", database)
        with psycopg.connect(database, autocommit=True) as connection:
            charge(connection, "2025-03-05", 1)
            charge(connection, "2025-04-05", 2)
            connection.execute("alter table public.settlements add check (period_from < '2025-04-01')")
        with pytest.raises(PortalError, match="violates check constraint"):
            app(["settle"], standalone_mode=False)
        assert [(row[0], row[4]) for row in rows(capsys.readouterr().out)] == [("2025-03", "0.01")]


class TestMoves:
    @pytest.fixture
    def settlement(self, connection: psycopg.Connection) -> str:
        charge(connection, "2025-03-05", 1234, payer="anna")
        [settlement] = settle("2025-03")
        return settlement

    def test_an_invoiced_settlement_can_be_paid(self, connection: psycopg.Connection, settlement: str) -> None:
        output = portal("invoice", settlement)
        number, due = connection.execute("select number, due_on::text from public.settlements").fetchone() or ()
        what = f"12.34 EUR for togethersystems, 2025-03-01 until 2025-04-01, number {number}, due on {due}"
        assert output == f"invoiced: {what}. No money is moved.\n"
        assert portal("pay", settlement) == f"paid: {what}, 12.34 paid. No money is moved.\n"

    def test_it_can_be_paid_in_parts(self, connection: psycopg.Connection, settlement: str) -> None:
        portal("invoice", settlement)
        arguments = ["--amount", "10.5", "--on", "2026-01-02", "--reference", "bank 7", "--payer", "anna"]
        assert ", 10.50 paid. " in portal("pay", settlement, *arguments)
        assert refused("pay", settlement, "--amount", "1.85") == "the payment is more than what is owed."
        assert portal("pay", settlement).startswith("paid: 12.34 EUR")
        paid = connection.execute(
            "select amount_cents, paid_on::text, reference, private.uid_of(payer_id) from public.settlement_payments"
            " order by id"
        ).fetchall()
        assert paid == [(1050, "2026-01-02", "bank 7", "anna"), (184, str(portal_today(connection)), None, None)]

    def test_the_rest_can_be_written_off(self, connection: psycopg.Connection, settlement: str) -> None:
        portal("invoice", settlement)
        portal("pay", settlement, "--amount", "2.34")
        assert portal("write-off", settlement, "--reason", "insolvent").startswith("written off: 12.34 EUR")
        shown = portal("statement", settlement)
        assert re.search(r"^status +written off$", shown, re.MULTILINE)
        assert re.search(r"^written off +\S+ \S+ by \S+: insolvent$", shown, re.MULTILINE)

    def test_an_amount_has_the_decimals_of_the_currency(self, connection: psycopg.Connection, settlement: str) -> None:
        charge(connection, "2025-03-05", 1234, "KWD")
        charge(connection, "2025-03-05", 1234, "JPY")
        for each in (settlement, *settle("2025-03")):
            portal("invoice", each)
            currency = one(connection, "select currency from public.settlements where id = %s", each)
            amount, refusal = {
                "EUR": ("0.01", "0.001 has more decimals than EUR, which has 2."),
                "JPY": ("1.00", "0.001 has more decimals than JPY, which has 0."),
                "KWD": ("0.001", ""),
            }[currency]
            if refusal:
                assert refused("pay", each, "--amount", "0.001") == refusal
            portal("pay", each, "--amount", amount)
        assert one(connection, "select array_agg(amount_cents) from public.settlement_payments") == [1, 1, 1]

    @pytest.mark.parametrize("amount", ["0", "-1", "1,50", "1e2", "NaN", "", "1.", ".5", "\u0661", "1" * 19])
    def test_what_is_no_amount_is_refused(self, settlement: str, amount: str) -> None:
        result = run("pay", settlement, f"--amount={amount}")
        assert result.exit_code == 2
        assert "is no positive amount such as 12.50" in " ".join(result.stderr.split())

    def test_a_voided_settlement_keeps_its_reason_and_is_settled_anew(
        self, connection: psycopg.Connection, settlement: str
    ) -> None:
        assert portal("void", settlement, "--reason", "wrong [red] month").startswith("voided: 12.34 EUR")
        assert one(connection, "select void_reason from public.settlements") == "wrong [red] month"
        [row] = rows(portal("settle"))
        assert row[4] == "12.34"
        portal("invoice", row[6])
        shown = portal("statement", settlement)
        for said in (
            "^fees +1: 12.34 charged, 0.00 reversed$",
            r"^voided +\S+ \S+ by \S+: wrong \[red\] month$",
            r"^replaced by +\d{4}-0001 \(invoiced\)$",
        ):
            assert re.search(said, shown, re.MULTILINE)
        assert re.search(rf"^replaces +{settlement} \(voided\)$", portal("statement", row[6]), re.MULTILINE)
        assert csv_of(settlement) == csv_of(row[6])

    def test_a_refusal_is_one_sentence(self, connection: psycopg.Connection, settlement: str) -> None:
        assert refused("pay", settlement) == "a settlement with status open does not allow that."
        portal("invoice", settlement)
        assert refused("invoice", settlement) == "a settlement with status invoiced does not allow that."
        portal("pay", settlement)
        assert refused("void", settlement) == "a settlement with status paid does not allow that."
        assert one(connection, "select status from public.settlements") == "paid"

    @pytest.mark.parametrize("command", ["invoice", "pay", "void", "statement", "write-off", "adjust", "reverse"])
    def test_an_invalid_id_is_refused(self, connection: psycopg.Connection, command: str) -> None:
        what = "charge" if command in ("adjust", "reverse") else "settlement"
        assert refused(command, UNKNOWN, *OPTIONS.get(command, [])) == f"{what} not found."
        result = run(command, UNKNOWN[:8], *OPTIONS.get(command, []))
        assert result.exit_code == 2
        assert "valid UUID" in result.stderr


class TestCorrections:
    def test_a_charge_is_credited_raised_waived(self, connection: psycopg.Connection) -> None:
        charged = str(charge(connection, "2025-03-05", 250, payer="anna"))
        output = portal("adjust", charged, "--credit", "1.00", "--reason", "late [red] start")
        credit = one(connection, "select id from public.fee_events where adjusts is not null")
        assert output == (
            f"fee event {credit}: -1.00 EUR, adjusts {charged}. It is due in the next settlement. No money is moved.\n"
        )
        assert ": 0.50 EUR, " in portal("adjust", charged, "--charge", "0.5", "--reason", "longer")
        assert ": -2.00 EUR, " in portal("adjust", charged, "--waive", "--reason", "first month")
        assert refused("adjust", charged, "--credit", "0.01", "--reason", "-").startswith("adjustment not possible")
        assert refused("adjust", charged, "--credit", "0.001", "--reason", "-").startswith("-0.001 has more decimals")
        reasons = connection.execute("select reason from public.fee_events where adjusts is not null order by id")
        assert reasons.fetchall() == [("late [red] start",), ("longer",), ("first month",)]

    def test_what_is_left_of_a_charge_is_reversed(self, connection: psycopg.Connection) -> None:
        charged = str(charge(connection, "2025-03-05", 250))
        portal("adjust", charged, "--credit", "1.00", "--reason", "late")
        assert f": -1.50 EUR, reverses {charged}. " in portal("reverse", charged, "--reason", "the issuer did not come")
        assert refused("reverse", charged, "--reason", "again") == "charge is already reversed."
        assert refused("reverse", charged, "--reason", " ") == "a reason is required."

    @pytest.mark.parametrize("options", [[], ["--waive", "--credit", "1"], ["--credit", "1", "--charge", "1"]])
    def test_one_kind_of_adjustment_is_given(self, options: list[str]) -> None:
        result = run("adjust", UNKNOWN, *options, "--reason", "-")
        assert result.exit_code == 2
        assert "Give one of --credit, --charge and --waive." in result.stderr


class TestOperator:
    """Every step names the user of the system."""

    def test_each_step_has_its_operator(self, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
        def as_user(name: str, *arguments: str) -> str:
            monkeypatch.setenv("LOGNAME", name)
            return portal(*arguments)

        charged = str(charge(connection, "2025-03-05", 500))
        other = str(charge(connection, "2025-03-06", 500))
        as_user("carl", "adjust", charged, "--credit", "1", "--reason", "-")
        as_user("rita", "reverse", other, "--reason", "-")
        [row] = rows(as_user("sam", "settle", "2025-03"))
        as_user("ivy", "invoice", row[6])
        as_user("vera", "void", row[6])
        [row] = rows(as_user("sam", "settle", "2025-03"))
        as_user("ivy", "invoice", row[6])
        as_user("paul", "pay", row[6], "--amount", "1")
        as_user("wanda", "write-off", row[6], "--reason", "-")
        charge(connection, "2025-04-05", 500)
        [row] = rows(as_user("sam", "settle", "2025-04"))
        as_user("ivy", "invoice", row[6])
        as_user("paul", "pay", row[6])

        assert connection.execute(
            "select status, created_by, invoiced_by, paid_by, voided_by, written_off_by from public.settlements"
            " order by created_at"
        ).fetchall() == [
            ("voided", "sam", "ivy", None, "vera", None),
            ("written_off", "sam", "ivy", None, None, "wanda"),
            ("paid", "sam", "ivy", "paul", None, None),
        ]
        assert one(connection, "select array_agg(distinct recorded_by) from public.settlement_payments") == ["paul"]
        assert connection.execute(
            "select adjusts is null, operator from public.fee_events where operator is not null order by 1"
        ).fetchall() == [(False, "carl"), (True, "rita")]
        assert re.search("^voided +.* by vera$", portal("statement", settlements_of(connection)[0]), re.MULTILINE)

    def test_a_user_without_a_name_is_the_login(
        self, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
        charge(connection, "2025-03-05", 500)
        settle("2025-03")
        login = one(connection, "select session_user::text")
        assert one(connection, "select created_by from public.settlements") == login


def settlements_of(connection: psycopg.Connection) -> list[str]:
    """The ids of all settlements, oldest first."""
    rows = connection.execute("select id::text from public.settlements order by created_at").fetchall()
    return [settlement for (settlement,) in rows]


class TestStatement:
    @pytest.fixture
    def settlement(self, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> str:
        """A settlement of seven fee events on three pages."""
        monkeypatch.setattr(cli_settlements, "PAGE", 3)
        charge(connection, "2025-03-05 10:00:00.5Z", base=12025, rate="0.0250")
        charge(connection, "2025-03-05 23:30Z", base=9007199254740991, rate="0.1234")
        charge(connection, "2025-03-06 12:00Z", 50, base=1, rate="0.02", bound="minimum")
        charge(connection, "2025-03-06 12:00Z", 900, base=100_000, rate="0.02", bound="maximum")
        charge(connection, "2025-03-06 12:00Z", 77)
        reverse(connection, charge(connection, "2025-03-06 12:00Z", 250), "2025-03-07 12:00Z")
        [settlement] = settle("2025-03")
        return settlement

    def test_as_a_table(self, connection: psycopg.Connection, settlement: str) -> None:
        output = portal("statement", settlement)
        total = "11114883880363.66 EUR"
        for said in (settlement, "togethersystems", "2025-03-01 until 2025-04-01", "open", total, "-2.50 reversed"):
            assert said in output
        names, *lines = (re.split(" {2,}", line) for line in output.partition("\n\n")[2].splitlines())
        assert names == list(cli_settlements.LINE)
        charged = one(connection, "select reverses::text from public.fee_events where reverses is not null")
        # ids of the same millisecond have no order
        assert sorted([line[0], *line[3:10]] for line in lines) == [
            ["2025-03-05 11:00:00", "120.25", "2.5 %", "0.00", "3.00625", "-", "3.01", "-"],
            # half past midnight of the next day in Berlin
            [
                "2025-03-06 00:30:00",
                "90071992547409.91",
                "12.34 %",
                "0.00",
                "11114883880350.382894",
                "-",
                "11114883880350.38",
                "-",
            ],
            ["2025-03-06 13:00:00", "0.00", "0 %", "0.77", "0.77", "-", "0.77", "-"],
            ["2025-03-06 13:00:00", "0.00", "0 %", "2.50", "2.50", "-", "2.50", "-"],
            ["2025-03-06 13:00:00", "0.01", "2 %", "0.00", "0.0002", "minimum", "0.50", "-"],
            ["2025-03-06 13:00:00", "1000.00", "2 %", "0.00", "20.00", "maximum", "9.00", "-"],
            ["2025-03-07 13:00:00", "-", "-", "-", "-", "-", "-2.50", charged],
        ]

    def test_columns_are_aligned_on_every_page(self, settlement: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli_settlements, "PAGE", 10)
        names, *lines = portal("statement", settlement).partition("\n\n")[2].splitlines()
        edge = names.index("amount") + len("amount")
        assert {line[edge:][:2].strip() for line in lines} == {""}
        assert {line[:edge][-3] for line in lines} == {"."}

    def test_csv_has_the_same_content_as_the_table(self, connection: psycopg.Connection, settlement: str) -> None:
        lines = csv_of(settlement)
        assert len(lines) == 7
        assert tuple(lines[0]) == cli_settlements.COLUMNS
        names = ", ".join(cli_settlements.COLUMNS)
        with connection.cursor(row_factory=dict_row) as cursor:
            stored = cursor.execute(f"select {names} from private.statement_lines order by id".encode()).fetchall()
        for line, row in zip(lines, stored, strict=True):
            for name, value in row.items():
                match value:
                    case None:
                        assert line[name] == ""
                    case Decimal():
                        assert Decimal(line[name]) == value
                    case datetime():
                        assert datetime.fromisoformat(line[name]) == value
                    case _:
                        assert line[name] == str(value)
        assert "2025-03-06T00:30:00+01:00" in [line["created_at"] for line in lines]

    def test_its_lines_add_up_to_its_total(self, connection: psycopg.Connection, settlement: str) -> None:
        total = one(connection, "select total_cents from public.settlements")
        assert sum(int(line["amount_cents"]) for line in csv_of(settlement)) == total
        written = json.loads(portal("statement", settlement, "--format", "json"))
        assert sum(item["amountCents"] for item in written["items"]) == written["settlement"]["totalCents"] == total

    def test_json_equals_the_answer_of_the_route(self, shared_portal: str, settlement: str) -> None:
        with Connection(shared_portal) as client:
            answered = client.get(f"/api/admin/settlements/{settlement}").body
        written = json.loads(portal("statement", settlement, "--format", "json"))
        assert {"ok": True} | written == answered

    @pytest.mark.parametrize("form", ["table", "csv", "json"])
    def test_nothing_of_a_stranger_reaches_the_terminal_or_the_spreadsheet(
        self, connection: psycopg.Connection, form: str
    ) -> None:
        with unchecked(connection):
            for currency in ("EUR\u200b\u202e\x9b2J", '=HYPERLINK("HTTP://A.B/")'):
                charge(connection, "2025-03-05", 250, currency, "a\x1b[31m\nstatus: paid")
        shown = portal("settle", "2025-03")
        for (settlement,) in connection.execute("select id::text from public.settlements").fetchall():
            shown += portal("statement", settlement, "--format", form)
        assert all(character.isprintable() for character in shown.replace("\n", ""))
        assert not re.search('(^|[,;])"?=', shown, re.MULTILINE)
        assert not re.search("^status: ", shown, re.MULTILINE)

    @pytest.mark.parametrize("form", ["table", "csv", "json"])
    def test_a_file_has_the_same_content_as_the_output(self, tmp_path: Path, settlement: str, form: str) -> None:
        file = tmp_path / "statement"
        assert portal("statement", settlement, "--format", form, "--output", str(file)) == ""
        assert file.read_bytes().decode() == portal("statement", settlement, "--format", form)

    def test_a_voided_settlement_keeps_its_lines(self, settlement: str) -> None:
        lines = [(line["id"], line["amount_cents"]) for line in csv_of(settlement)]
        portal("void", settlement)
        assert [(line["id"], line["amount_cents"]) for line in csv_of(settlement)] == lines
        written = json.loads(portal("statement", settlement, "--format", "json"))
        assert (len(written["items"]), written["settlement"]["status"]) == (7, "voided")

    def test_payers_payments_and_corrections(self, connection: psycopg.Connection) -> None:
        late = str(charge(connection, "2025-03-05", 700, payer="anna"))
        charge(connection, "2025-03-06", 300, payer="ben")
        [settlement] = settle("2025-03")
        portal("invoice", settlement)
        number = one(connection, "select number from public.settlements")
        portal("pay", settlement, "--amount", "2", "--on", "2026-01-02", "--payer", "ben", "--reference", "bank 7")
        connection.execute("update private.settings set payment_days = 0")
        head = portal("statement", settlement).partition("\n\n")[0].splitlines()
        user = getpass.getuser()
        assert {
            f"number       {number}",
            "status       invoiced",
            "paid         2.00 EUR",
            "payer        anna: 7.00 (fees: 1)",
            "payer        ben: 3.00 (fees: 1)",
            f"payment      2026-01-02: 2.00 of ben, recorded by {user}, reference bank 7",
        } <= set(head)

        # counts in an open month, and names the invoice that it corrects
        portal("pay", settlement, "--payer", "anna")
        portal("adjust", late, "--credit", "1.00", "--reason", "late start")
        charge(connection, "now", 900, payer="anna")
        [correcting] = settle(f"{portal_today(connection):%Y-%m}")
        [line] = (line for line in csv_of(correcting) if line["adjusts"])
        assert (line["adjusts"], line["corrects_number"], line["month"]) == (late, number, "2025-03-01")
        assert (line["payer_uid"], line["operator"], line["reason"]) == ("anna", user, "late start")
        [row] = (row for row in rows(portal("statement", correcting).partition("\n\n")[2]) if row[8] == "-1.00")
        assert row[10:] == ["anna", "2025-03", "-", late, number, user]

    def test_an_overdue_settlement_says_so(self, connection: psycopg.Connection, settlement: str) -> None:
        portal("invoice", settlement)
        with unchecked(connection):
            connection.execute("update public.settlements set due_on = '2026-01-01'")
        assert re.search("^status +invoiced, overdue$", portal("statement", settlement), re.MULTILINE)

    def test_an_unwritable_file_is_explained(self, tmp_path: Path, settlement: str) -> None:
        place = str(tmp_path / "none" / "statement")
        assert (
            refused("statement", settlement, "--output", place) == f"Cannot write {place} (No such file or directory)."
        )

    def test_an_unknown_settlement_leaves_a_file_as_it_is(self, tmp_path: Path, connection: psycopg.Connection) -> None:
        file = tmp_path / "statement"
        file.write_text("of last month")
        refused("statement", UNKNOWN, "--output", str(file))
        assert file.read_text() == "of last month"

    def test_progress_is_shown_on_a_terminal_only(self, settlement: str) -> None:
        terminal, errors = pty.openpty()
        arguments = ["statement", settlement, "--format", "csv"]
        result = subprocess.run([*PORTAL, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, check=True)
        os.close(errors)
        assert b"Writing" in os.read(terminal, 10_000)
        os.close(terminal)
        assert result.stdout == portal(*arguments)


class TestCheck:
    def test_reports_that_every_rule_holds(self, connection: psycopg.Connection) -> None:
        found = rows(portal("check"))
        names = connection.execute("select name from stats.invariants").fetchall()
        others = {"references_exist", "access_rules_are_those_of_the_schema", "other_objects_open_nothing"}
        assert {row[0] for row in found} == {name for (name,) in names} | others
        assert {row[1] for row in found} == {"holds"}

    def test_reports_violations(self, connection: psycopg.Connection) -> None:
        # of bookings that do not exist
        charge(connection, "2025-03-05", 1)
        charge(connection, "2025-03-05", 2)
        result = run("check")
        assert result.exit_code == 1
        broken = [row[:3] for row in rows(result.stdout) if row[1] == "broken"]
        assert ["every_charge_has_its_subject", "broken", "2"] in broken
        assert f"{len(broken)} of " in result.stdout

    def test_finds_rows_that_a_restore_left_without_the_rows_they_refer_to(
        self, connection: psycopg.Connection
    ) -> None:
        connection.execute(
            "set session_replication_role = replica;"
            "insert into public.contract_links (contract_id, voucher_id) values (gen_random_uuid(), 'gone')"
        )
        [row] = [row for row in rows(run("check").stdout) if row[0] == "references_exist"]
        assert row[1:] == [
            "broken", "2", "contract_links_contract_id_fkey (1), contract_links_voucher_id_fkey (1)"
        ]  # fmt: skip

    def test_names_the_access_rules_that_are_not_those_of_the_schema(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", database)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "grant select on public.transfers to anon; drop trigger tg_transfers__charge on public.transfers"
            )
        result = run("check")
        assert result.exit_code == 1
        assert "not declared: public.transfers: grant select to anon\n" in result.stdout
        assert "missing: public.transfers: trigger CREATE TRIGGER tg_transfers__charge" in result.stdout
        assert re.search(r"^1 of \d+ rules are broken\.$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [
        "settle",
        "invoice",
        "pay",
        "void",
        "statement",
        "check",
        "write-off",
        "adjust",
        "reverse",
        "settlements",
        "balance",
    ],
)
class TestEveryCommand:
    def test_has_a_help_text_with_examples(self, command: str) -> None:
        assert f"$ portal {command}" in portal(command, "--help")

    def test_needs_the_database_itself(self, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        project = {"SUPABASE_URL": "https://x.supabase.co", "SUPABASE_ANON_KEY": "key", "JWT_SECRET": "x" * 32}
        for name, value in project.items():
            monkeypatch.setenv(name, value)
        arguments = [] if command in ("settle", "check", "settlements", "balance") else [UNKNOWN]
        arguments += OPTIONS.get(command, [])
        assert "set DATABASE_URL too" in refused(command, *arguments)

    def test_needs_the_migrations(self, command: str, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", empty_database)
        arguments = [] if command in ("settle", "check", "settlements", "balance") else [UNKNOWN]
        arguments += OPTIONS.get(command, [])
        assert "run `portal migrate`" in refused(command, *arguments)


def test_a_months_end_on_the_embedded_database(monkeypatch: pytest.MonkeyPatch) -> None:
    # outside of pytest's own folders, which the database's user may not enter
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        monkeypatch.setenv("DATA_DIR", folder)
        portal("migrate")
        assert "rules hold." in portal("check")
        with open_database(load_settings()) as url, psycopg.connect(url, autocommit=True) as connection:
            charge(connection, "2025-03-05", 1234)
        [row] = rows(portal("settle", "--dry-run"))
        assert row[:6] == ["2025-03", "togethersystems", "1", "0", "12.34", "EUR"]
        [settlement] = settle()
        assert [line["amount_cents"] for line in csv_of(settlement)] == ["1234"]
        assert portal("invoice", settlement).startswith("invoiced: 12.34 EUR")
        assert portal("pay", settlement).startswith("paid: 12.34 EUR")
