"""`portal statement --format pdf`: the paper has every figure, in the form of its language, and nothing is markup."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from pypdf import PdfReader

from api.cli import settlements
from api.errors import PortalError
from api.routes.admin import settlements as routes
from tests.cli.running import portal, rows, run
from tests.support.acting import one
from tests.support.charging import charge, reverse
from tests.support.databases import empty

HOSTILE = '#panic("x") *b* $x$ <a> `r` "q" @ref \\u{41} = h'
UNKNOWN = "019a3c5e-7c00-7abc-8def-0123456789ab"
CONTROL = "\x1b[31m\n\u202ered"


@pytest.fixture
def connection(shared_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """A connection to the empty database that the commands work on."""
    empty(shared_database)
    monkeypatch.setenv("DATABASE_URL", shared_database)
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


def settled(month: str = "2025-03") -> str:
    """The id of the only settlement of a month."""
    [row] = rows(portal("settle", month))
    return row[6]


def paper(settlement: str, file: Path, language: str = "de") -> list[str]:
    """The text of each page."""
    portal("statement", settlement, "--format", "pdf", "--language", language, "--output", str(file))
    return [re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(file).pages]


def figures(settlement: str) -> dict[str, int]:
    made = json.loads(portal("statement", settlement, "--format", "json"))["settlement"]
    return {name: made[f"{name}Cents"] for name in ("charged", "reversed", "adjusted", "total")}


def test_a_paper_has_both_parties_the_totals_and_how_each_fee_was_computed(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    charge(connection, "2025-03-05", base=1_234_567, rate="0.025", payer="anna")
    reverse(connection, charge(connection, "2025-03-06", 250, payer="ben"), "2025-03-07")
    charge(connection, "2025-03-08", 4000, base=9_999_999, rate="0.0125", bound="maximum", payer="ben")
    settlement = settled()
    portal("invoice", settlement)
    portal("pay", settlement, "--amount", "12.50", "--on", "2025-04-03", "--reference", "bank 7")
    assert figures(settlement) == {"charged": 35114, "reversed": -250, "adjusted": 0, "total": 34864}
    number = one(connection, "select number from public.settlements")

    [text] = paper(settlement, tmp_path / "de.pdf")
    for part in (
        f"Abrechnung {number}", settlement, "Empfänger togethersystems", "Zahler anna, ben",
        "Zeitraum 01.03.2025 – 31.03.2025", "Stand in Rechnung gestellt", "Summe 348,64 EUR",
        "voucher.booking 4 351,14 -2,50 0,00 348,64", "anna 1 308,64", "ben 3 40,00",
        "12.345,67 × 2,5 % = 308,64175", "99.999,99 × 1,25 % = 1.249,999875; Höchstbetrag", "nimmt zurück:",
        "03.04.2025 – bank 7 12,50", "Gezahlt 12,50 EUR", "Seite 1 von 1",
    ):  # fmt: skip
        assert part in text
    [text] = paper(settlement, tmp_path / "en.pdf", "en")
    for part in (
        f"Statement {number}", "Beneficiary togethersystems", "Period Mar 1, 2025 – Mar 31, 2025", "Status invoiced",
        "Total 348.64 EUR", "12,345.67 × 2.5 % = 308.64175", "1,249.999875; maximum", "Page 1 of 1",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(1234, "JPY", "1.234 JPY"), (1234, "KWD", "1,234 KWD"), (9007199254740991, "EUR", "90.071.992.547.409,91 EUR")],
)
def test_an_amount_has_the_decimals_of_its_currency(
    connection: psycopg.Connection, tmp_path: Path, amount: int, currency: str, shown: str
) -> None:
    charge(connection, "2025-03-05", amount, currency)
    assert f"Summe {shown}" in paper(settled(), tmp_path / "p.pdf")[0]


def test_no_text_of_a_stranger_is_markup(connection: psycopg.Connection, tmp_path: Path) -> None:
    charged = charge(connection, "2025-03-05", 250, payer=HOSTILE)
    portal("adjust", str(charged), "--credit", "1.00", "--reason", f"{HOSTILE} {CONTROL}")
    connection.execute("select public.settle_fees('2000-01-01', '2100-01-01')")
    text = " ".join(paper(one(connection, "select id::text from public.settlements"), tmp_path / "p.pdf"))
    # whom the fee is of, the payer's row, and the reason
    assert text.count("#panic(") >= 3
    assert r"\x1b[31m \u202ered" in text
    assert "\x1b" not in text


def test_a_long_name_leaves_the_other_columns_their_width(connection: psycopg.Connection, tmp_path: Path) -> None:
    long = "W" * 255
    charge(connection, "2025-03-05", 250, payer=long)
    charge(connection, "2025-03-06", 250, payer="anna")
    [text] = paper(settled(), tmp_path / "p.pdf")
    # in one piece, as it can be copied: among the facts, the totals and the items
    assert text.replace(" ", "").count(long) == 3
    assert_that_columns_have_their_width(tmp_path / "p.pdf")


@pytest.mark.parametrize("vowels", ["\u0e33" * 255, "\u0915" + "\u093e" * 254], ids=["Thai", "Hindi"])
def test_a_long_name_that_is_one_letter_with_its_vowels_leaves_them_their_width_too(
    connection: psycopg.Connection, tmp_path: Path, vowels: str
) -> None:
    charge(connection, "2025-03-05", 250, payer=vowels)
    charge(connection, "2025-03-06", 250, payer="anna")
    paper(settled(), tmp_path / "p.pdf")
    assert_that_columns_have_their_width(tmp_path / "p.pdf")


def assert_that_columns_have_their_width(file: Path) -> None:
    """Of the items and the totals of a paper, where the first of two payers has a long name."""
    places: dict[str, list[tuple[float, float]]] = {}
    [page] = PdfReader(file).pages
    page.extract_text(visitor_text=lambda text, at, *_: places.setdefault(text.strip(), []).append((at[4], at[5])))
    # the columns of the items: "what for" has more than the payer
    what, payer, amount = (places[head][-1][0] for head in ("Wofür, und wie berechnet", "Zahler", "Betrag"))
    assert payer - what > amount - payer > 100
    # the name takes at least three lines in the totals, which are 72 points high with one, and six among the items
    assert places["Summen nach Zahlern"][0][1] - places["Posten"][0][1] > 90
    assert places["05.03.2025"][-1][1] - places["06.03.2025"][-1][1] > 60


def test_a_name_of_invisible_characters_is_no_longer_than_any_other(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    charge(connection, "2025-03-05", 250, payer="\U000e0101" * 255)
    [text] = paper(settled(), tmp_path / "p.pdf")
    assert text.replace(" ", "").count(r"\U000e0101" * 25 + r"\U000…") == 3


def test_each_page_has_its_number_and_the_same_statement_the_same_bytes(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    with connection.transaction():
        for _ in range(150):
            charge(connection, "2025-03-05", 250)
    settlement = settled()
    pages = paper(settlement, tmp_path / "p.pdf")
    assert len(pages) > 2
    for number, page in enumerate(pages, start=1):
        assert page.endswith(f"Abrechnung {settlement} · 01.03.2025 – 31.03.2025 Seite {number} von {len(pages)}")
        assert "Wofür, und wie berechnet" in page
    assert sum(page.count("0,00 × 0 % + 2,50 = 2,50") for page in pages) == 150
    paper(settlement, tmp_path / "again.pdf")
    assert (tmp_path / "p.pdf").read_bytes() == (tmp_path / "again.pdf").read_bytes()


def test_a_paper_that_would_be_too_long_is_refused(
    connection: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(connection, "2025-03-05", 250)
    charge(connection, "2025-03-05", 250)
    settlement = settled()
    monkeypatch.setattr(settlements, "MAX_PAPER", 1)
    with pytest.raises(PortalError, match="has 2 fees, and a PDF at most 1: use --format csv"):
        run("statement", settlement, "--format", "pdf", "--output", str(tmp_path / "p.pdf"))
    assert not (tmp_path / "p.pdf").exists()


def test_a_paper_is_a_file_of_its_owner(connection: psycopg.Connection, tmp_path: Path) -> None:
    charge(connection, "2025-03-05", 250)
    settlement = settled()
    refused = run("statement", settlement, "--format", "pdf")
    assert (refused.exit_code, "A PDF needs --output FILE." in refused.stderr) == (2, True)
    paper(settlement, tmp_path / "p.pdf")
    assert (tmp_path / "p.pdf").stat().st_mode & 0o777 == 0o600


def test_the_route_answers_with_the_same_paper(
    connection: psycopg.Connection, shared_portal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(connection, "2025-03-05", 250)
    charge(connection, "2025-03-05", 250)
    settlement = settled()
    path = f"/api/admin/settlements/{settlement}/pdf"
    for language, query in (("de", ""), ("de", "?language=de"), ("en", "?language=en")):
        paper(settlement, tmp_path / "p.pdf", language)
        answer = httpx.get(f"{shared_portal}{path}{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
        assert answer.headers["content-disposition"] == f'inline; filename="statement-{settlement}.pdf"'
        assert answer.content == (tmp_path / "p.pdf").read_bytes()
    # it keeps the memory of each paper, in the process of the server for as long as that runs
    assert "typst" not in sys.modules

    def status(path: str) -> int:
        return httpx.get(f"{shared_portal}{path}").status_code

    assert [status(path + query) for query in ("?language=fr", "?language=DE")] == [400, 400]
    assert [status(f"/api/admin/settlements/{other}/pdf") for other in ("unknown", UNKNOWN)] == [404, 404]
    with monkeypatch.context() as patch:
        patch.setattr(routes, "MAX_PAPER", 1)
        assert status(path) == 409


def test_without_its_packages_there_is_no_paper(
    connection: psycopg.Connection, shared_portal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(connection, "2025-03-05", 250)
    settlement = settled()
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(PortalError, match="needs the packages of the extra `pdf`"):
        run("statement", settlement, "--format", "pdf", "--output", str(tmp_path / "p.pdf"))
    assert httpx.get(f"{shared_portal}/api/admin/settlements/{settlement}/pdf").status_code == 501
