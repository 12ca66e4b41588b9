"""What the commands print fits a terminal of 80 and of 120 columns, and a pipe gets one plain line for each row."""

import re
import subprocess
from collections.abc import Iterator

import psycopg
import pytest
from rich.text import Text

from tests.cli.running import PORTAL, on_terminal, portal, rows, run
from tests.support.charging import charge, reverse
from tests.support.databases import empty

FRAME_OR_COLOUR = re.compile("[\u2500-\u257f\x1b]")
TABLES = ["jobs", "check", "migrate --status", "settle --dry-run", "thinkers"]
COMMANDS = [
    "", "run", "migrate", "seed", "settle", "invoice", "pay", "write-off", "void", "adjust", "reverse",
    "statement", "settlements", "balance", "check", "jobs", "jobs run", "jobs install",
    "thinkers", "thinkers release",
]  # fmt: skip


@pytest.fixture(scope="module")
def settlement(shared_database: str) -> Iterator[str]:
    """The id of a settlement in the database that the commands work on; other fees are due."""
    empty(shared_database)
    with psycopg.connect(shared_database, autocommit=True) as connection, pytest.MonkeyPatch.context() as patch:
        payer = "thinker-ba9876543210"
        charge(connection, "2025-03-05", base=9007199254740991, rate="0.1234", bound="maximum", payer=payer)
        reverse(connection, charge(connection, "2025-03-06", 250, payer=payer), "2025-03-07")
        patch.setenv("DATABASE_URL", shared_database)
        [row] = rows(portal("settle", "2025-03"))
        portal("invoice", row[6])
        portal("pay", row[6], "--amount", "1.50", "--payer", payer, "--reference", "a transfer of " * 10)
        charged = str(charge(connection, "2025-04-05", 1234, beneficiary="thinker-0123456789ab"))
        portal("adjust", charged, "--credit", "1.00", "--reason", "late")
        connection.execute(
            "insert into private.claims (thinker_id, session_id) select id, gen_random_uuid() from public.thinkers"
        )
        yield row[6]


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, shared_database: str, settlement: str) -> None:
    monkeypatch.setenv("DATABASE_URL", shared_database)


def piped(*arguments: str) -> str:
    """Returns what a command prints into a pipe. `check` finds fees without a booking, hence its exit code."""
    result = run(*arguments)
    assert result.exit_code == (arguments == ("check",))
    return result.stdout


def shown(columns: int, *arguments: str) -> str:
    """Returns what a command prints on a terminal of this width, without colours and progress."""
    result = run(*arguments, FORCE_COLOR="1", COLUMNS=str(columns))
    assert result.exit_code == (arguments == ("check",))
    return Text.from_ansi(result.stdout).plain


def is_narrow(output: str, columns: int) -> bool:
    """Returns whether there are several lines, and all of them fit."""
    lines = output.splitlines()
    return len(lines) > 1 and all(len(line) <= columns for line in lines)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", TABLES)
def test_a_table_fits_and_breaks_no_word(command: str, columns: int) -> None:
    output = shown(columns, *command.split())
    assert is_narrow(output, columns)
    names_of_notes = {"description", "what", "breaks", "it", "settlement", "adjustments", "-"}
    assert set(piped(*command.split()).split()) - set(output.split()) <= names_of_notes


@pytest.mark.parametrize("columns", [80, 120])
def test_a_statement_fits_and_explains_every_fee(settlement: str, columns: int) -> None:
    output = shown(columns, "statement", settlement)
    assert is_narrow(output, columns)
    words = " ".join(output.split())
    assert "90071992547409.91 × 12.34 % + 0.00 = 11114883880350.382894, limited by the fee's maximum" in words
    assert words.count("reverses ") == 1


@pytest.mark.parametrize("columns", [80, 120])
def test_the_books_fit(columns: int) -> None:
    output = shown(columns, "settlements")
    assert is_narrow(output, columns)
    assert "owed by thinker-ba9876543210 to togethersystems" in " ".join(output.split())
    output = shown(columns, "balance")
    assert is_narrow(output, columns)
    assert "11114883880348.88 invoiced, 1.50 paid, 0.00 written off" in " ".join(output.split())


@pytest.mark.parametrize("command", [*TABLES, "settlements", "balance"])
def test_a_pipe_gets_one_plain_line_a_row(command: str) -> None:
    output = piped(*command.split())
    assert FRAME_OR_COLOUR.search(output) is None
    lengths = {len(re.split(" {2,}", line)) for line in output.splitlines() if "  " in line}
    assert len(lengths) == 1


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_text_fits(command: str, columns: int) -> None:
    output = portal(*command.split(), "--help", COLUMNS=str(columns))
    assert is_narrow(output, columns)
    assert FRAME_OR_COLOUR.search(output) is None
    # no summary of a command is cut off
    assert re.search(r"\w\.\.\.$", output, re.MULTILINE) is None


def test_a_real_terminal_and_a_real_pipe() -> None:
    for columns in (80, 120):
        assert "\n".join(on_terminal(columns, "jobs")).strip() == shown(columns, "jobs").strip()
    process = subprocess.run([*PORTAL, "jobs"], capture_output=True, text=True, check=True)
    assert (process.stdout, process.stderr) == (piped("jobs"), "")
