"""The commands for settlements: settle, statement, invoice, pay, void."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, LiteralString, TextIO, TypeAlias
from uuid import UUID

import psycopg
import typer
from psycopg import IsolationLevel
from psycopg.rows import class_row
from rich.console import Console

from api.cli.owner import console, owner_connection, progress
from api.cli.tables import Row, Table
from api.cli.texts import cell, visible
from api.errors import PortalError

PAGE = 10_000
"""Fee events that are read at once."""

COLUMNS = (
    "id", "created_at", "fee_id", "subject_type", "subject_id", "base_cents", "rate", "fixed_cents", "unrounded",
    "bound", "amount_cents", "currency", "reverses", "reason",
)  # fmt: skip
"""The columns of a statement as CSV."""

LINE = ("time", "fee", "subject", "base", "rate", "fixed", "unrounded", "bound", "amount", "reverses")
"""The columns of a statement as a table."""

NUMBERS = {"base", "rate", "fixed", "unrounded", "amount", "charges", "reversals", "total"}
"""The columns that are aligned to the right."""

Record: TypeAlias = dict[str, Any]
"""A settlement or a fee event as SQL returns it; numbers with a point are Decimals."""

SettlementId = Annotated[UUID, typer.Argument(metavar="ID", help="The id that `portal settle` printed.")]

app = typer.Typer()


class Format(StrEnum):
    """The format of a statement."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True)
class Settled:
    """A settlement of one month, beneficiary and currency, as settle_fees returns it; a dry run has no id."""

    id: UUID | None
    month: date
    beneficiary_uid: str
    currency: str
    exponent: int
    total_cents: int
    fee_events: int
    reversals: int

    def without(self, earlier: "Settled") -> "Settled":
        """What is left when the fee events of an earlier month are taken out."""
        return replace(
            self,
            total_cents=self.total_cents - earlier.total_cents,
            fee_events=self.fee_events - earlier.fee_events,
            reversals=self.reversals - earlier.reversals,
        )


@app.command()
def settle(
    month: Annotated[
        datetime | None,
        typer.Argument(metavar="MONTH", formats=["%Y-%m"], help="Such as 2026-10. Default: every month that is due."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be settled; write nothing.")] = False,
) -> None:
    """Settle the fees of a month, or of all due months.

    A month is due when it is over and has fees that are in no settlement. Writes one settlement for each beneficiary
    and currency. Repeating the command settles nothing twice. No money is moved.

    \b
    $ portal settle --dry-run   show what would be settled
    $ portal settle             settle all due months
    $ portal settle 2026-10     settle one month
    """
    with owner_connection() as connection:
        if month is not None and not _is_over(connection, month.date()):
            if month.date() > _today(connection):
                raise PortalError(f"{month:%Y-%m} has not begun.")
            console.print(f"{month:%Y-%m} is not over: later fees of this month go into a later settlement.")
        settled: list[Settled] = []
        try:
            if dry_run:
                settled += _would_settle(connection, _months(connection, month))
            else:
                with progress() as bar:
                    for due in bar.track(_months(connection, month), description="Settling"):
                        settled += _settle(connection, due)
        finally:
            # each month is a transaction: what was settled before an error stays settled
            _print_settled(settled)
    if not settled:
        console.print("Nothing to settle.")
    elif dry_run:
        console.print("Nothing was written: this was a dry run.")


@app.command()
def invoice(settlement_id: SettlementId) -> None:
    """Record that an open settlement is invoiced.

    No money is moved.

    \b
    $ portal invoice 019a3c5e-7c00-7abc-8def-0123456789ab
    """
    _move("select public.invoice_settlement(%s)", settlement_id)


@app.command()
def pay(settlement_id: SettlementId) -> None:
    """Record that an invoiced settlement is paid.

    No money is moved.

    \b
    $ portal pay 019a3c5e-7c00-7abc-8def-0123456789ab
    """
    _move("select public.pay_settlement(%s)", settlement_id)


@app.command()
def void(
    settlement_id: SettlementId,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Stored with the settlement.")] = None,
) -> None:
    """Void an open or invoiced settlement.

    The settlement stays in the list, and its fees are due again. No money is moved.

    \b
    $ portal void 019a3c5e-7c00-7abc-8def-0123456789ab --reason "wrong month"
    """
    _move("select public.void_settlement(%s, %s)", settlement_id, reason)


@app.command()
def statement(
    settlement_id: SettlementId,
    format: Annotated[Format, typer.Option(help="`table` for people, the others for programs.")] = Format.TABLE,  # noqa: A002
    output: Annotated[Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Default: the terminal.")] = None,
) -> None:
    """Show a settlement with every fee and its calculation.

    The table has decimal amounts; CSV and JSON have whole minor units (cents). The times of the table and of CSV are in
    the portal's time zone. JSON has the form of /api/admin/settlements/ID, with all fees on one page.

    \b
    $ portal statement 019a3c5e-7c00-7abc-8def-0123456789ab
    $ portal statement 019a3c5e-7c00-7abc-8def-0123456789ab --format csv
    """
    with owner_connection() as connection, _one_snapshot(connection):
        settlement = _get_settlement(connection, settlement_id, rows=1)
        pages = _pages(connection, settlement_id)
        # a progress bar would break into the lines on the terminal
        if output is None and sys.stdout.isatty():
            _write(format, sys.stdout, settlement, pages, _exponent(connection, settlement))
            return
        with progress() as bar, _open(output) as file:
            task = bar.add_task("Writing", total=settlement["fee_events"])
            pages = _advancing(pages, partial(bar.advance, task))
            _write(format, file, settlement, pages, _exponent(connection, settlement))


@contextmanager
def _one_snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """A read-only transaction in the portal's time zone, whose queries all see the same state of the database."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        # for this transaction only: behind a transaction pooler the next one may have another connection
        connection.execute("select set_config('TimeZone', s.time_zone, true) from private.settings s")
        yield


def _months(connection: psycopg.Connection, month: datetime | None) -> list[date]:
    """The given month, or all due months, oldest first."""
    if month is not None:
        return [month.date()]
    return [due for (due,) in connection.execute("select private.due_months()")]


def _today(connection: psycopg.Connection) -> date:
    """Today in the portal's time zone."""
    row = connection.execute("select (now() at time zone s.time_zone)::date from private.settings s").fetchone()
    assert row
    today: date = row[0]
    return today


def _is_over(connection: psycopg.Connection, month: date) -> bool:
    row = connection.execute(
        "select (%s::date + interval '1 month') at time zone s.time_zone <= now() from private.settings s", (month,)
    ).fetchone()
    return row == (True,)


def _settle(connection: psycopg.Connection, month: date, *, dry_run: bool = False) -> list[Settled]:
    with connection.cursor(row_factory=class_row(Settled)) as cursor:
        return cursor.execute(
            "select s.*, %(month)s::date as month, private.currency_exponent(s.currency) as exponent"
            " from jsonb_to_recordset("
            "   public.settle_fees(%(month)s::date, (%(month)s::date + interval '1 month')::date, %(dry_run)s)"
            " ) as s (id uuid, beneficiary_uid text, currency text, total_cents bigint, fee_events bigint,"
            " reversals bigint)",
            {"month": month, "dry_run": dry_run},
        ).fetchall()


def _would_settle(connection: psycopg.Connection, months: list[date]) -> list[Settled]:
    """What settling these months one after the other would make: a month settles what the earlier ones left."""
    due: list[Settled] = []
    taken: dict[tuple[str, str], Settled] = {}
    with _one_snapshot(connection):
        for month in months:
            for until_then in _settle(connection, month, dry_run=True):
                key = (until_then.beneficiary_uid, until_then.currency)
                own = until_then.without(taken[key]) if key in taken else until_then
                taken[key] = until_then
                if own.fee_events:
                    due.append(own)
    return due


def _print_settled(settled: list[Settled]) -> None:
    """Prints the settlements; of a dry run, those that would be made."""
    names = ("month", "beneficiary", "charges", "reversals", "total", "currency")
    Table(console, *names, numbers=NUMBERS, note="settlement").print(
        Row(
            (
                f"{made.month:%Y-%m}",
                made.beneficiary_uid,
                str(made.fee_events - made.reversals),
                str(made.reversals),
                _major(made.total_cents, made.exponent),
                made.currency,
            ),
            "" if made.id is None else str(made.id),
        )
        for made in settled
    )


def _move(statement: LiteralString, *arguments: object) -> None:
    """Calls the function that changes a settlement's status, and prints the settlement."""
    with owner_connection() as connection:
        row = connection.execute(statement, arguments).fetchone()
        assert row
        settlement: Record = row[0]
        total = _major(settlement["total_cents"], _exponent(connection, settlement))
    console.print(
        f"{settlement['status']}: {total} {visible(settlement['currency'])}"
        f" for {visible(settlement['beneficiary_uid'])},"
        f" {settlement['period_from']} until {settlement['period_to']}. No money is moved."
    )


def _get_settlement(
    connection: psycopg.Connection, settlement_id: UUID, *, after: str | None = None, rows: int
) -> Record:
    row = connection.execute("select public.get_settlement(%s, %s, %s)", (settlement_id, after, rows)).fetchone()
    assert row
    settlement: Record = row[0]
    return settlement


def _pages(connection: psycopg.Connection, settlement_id: UUID) -> Iterator[list[Record]]:
    """The fee events of a settlement, PAGE at a time."""
    after = None
    while page := _get_settlement(connection, settlement_id, after=after, rows=PAGE)["items"]:
        yield page
        after = page[-1]["id"]


def _advancing(pages: Iterable[list[Record]], advance: Callable[[int], None]) -> Iterator[list[Record]]:
    """Yields the pages, and advances the progress bar by the rows of each when it is written."""
    for page in pages:
        yield page
        advance(len(page))


def _exponent(connection: psycopg.Connection, settlement: Record) -> int:
    """How many decimals the settlement's currency has."""
    row = connection.execute("select private.currency_exponent(%s)", (settlement["currency"],)).fetchone()
    assert row
    exponent: int = row[0]
    return exponent


def _write(format: Format, file: TextIO, settlement: Record, pages: Iterable[list[Record]], exponent: int) -> None:  # noqa: A002
    match format:
        case Format.TABLE:
            _write_table(file, settlement, pages, exponent)
        case Format.CSV:
            lines = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            lines.writeheader()
            for page in pages:
                lines.writerows({name: cell(event[name]) for name in COLUMNS} for event in page)
        case Format.JSON:
            _write_json(file, settlement, pages)


def _write_table(file: TextIO, settlement: Record, pages: Iterable[list[Record]], exponent: int) -> None:
    """Writes the settlement, and a row for each fee event; on a terminal its calculation stands below the row."""
    major, currency = partial(_major, exponent=exponent), settlement["currency"]
    figures = f"{major(settlement['charged_cents'])} charged, {major(settlement['reversed_cents'])} reversed"
    head = {
        "settlement": settlement["id"],
        "beneficiary": settlement["beneficiary_uid"],
        "period": f"{settlement['period_from']} until {settlement['period_to']}",
        "status": settlement["status"],
        "total": f"{major(settlement['total_cents'])} {currency}",
        "fees": f"{settlement['fee_events']}: {figures}",
    }
    file.writelines(f"{name:<13}{visible(value)}\n" for name, value in head.items())
    output = Console(file=file, markup=False, emoji=False, highlight=False)
    if output.is_terminal:
        table, row = Table(output, "time", "fee", "amount", numbers=NUMBERS, note="calculation"), _short_row
    else:
        table, row = Table(output, *LINE, numbers=NUMBERS), _full_row
    if settlement["fee_events"]:
        file.write("\n")
    for page in pages:
        table.print(row(event, major) for event in page)


def _full_row(event: Record, major: Callable[[int | str | None], str]) -> Row:
    """A fee event with the columns of LINE."""
    return Row(
        (
            _time(event),
            event["fee_id"],
            f"{event['subject_type']} {event['subject_id']}",
            major(event["base_cents"]),
            _percent(event["rate"]),
            major(event["fixed_cents"]),
            major(event["unrounded"]),
            event["bound"] or "",
            major(event["amount_cents"]),
            event["reverses"] or "",
        )
    )


def _short_row(event: Record, major: Callable[[int | str | None], str]) -> Row:
    """A fee event with its time, fee and amount, and its calculation in the note."""
    if event["reverses"] is not None:
        calculation = f"reverses {event['reverses']}" + (f": {event['reason']}" if event["reason"] else "")
    else:
        base, rate, fixed = major(event["base_cents"]), _percent(event["rate"]), major(event["fixed_cents"])
        calculation = f"{base} × {rate} + {fixed} = {major(event['unrounded'])}"
        if event["bound"]:
            calculation += f", limited by the fee's {event['bound']}"
    note = f"{event['subject_type']} {event['subject_id']}: {calculation}"
    return Row((_time(event), event["fee_id"], major(event["amount_cents"])), note)


def _time(event: Record) -> str:
    return str(event["created_at"])[:19].replace("T", " ")


def _percent(rate: Decimal | None) -> str:
    """A rate as people write it: 0.0250 is 2.5 %."""
    return "" if rate is None else f"{(rate * 100).normalize():f} %"


def _write_json(file: TextIO, settlement: Record, pages: Iterable[list[Record]]) -> None:
    from api.routes.admin.settlements import FeeEvent, SettlementFigures  # imported late: --help does not need it

    head = SettlementFigures.from_row(settlement).model_dump_json(by_alias=True, ensure_ascii=True)
    file.write(f'{{"settlement": {head}, "items": [')
    comma = ""
    for page in pages:
        for event in page:
            file.write(f"{comma}\n{FeeEvent.from_row(event).model_dump_json(by_alias=True, ensure_ascii=True)}")
            comma = ","
    file.write("\n]}\n")


def _major(minor: int | str | None, exponent: int) -> str:
    """Minor units as an exact decimal: 1234 cents are 12.34. Empty for None."""
    return "" if minor is None else f"{Decimal(minor).scaleb(-exponent):f}"


@contextmanager
def _open(output: Path | None) -> Iterator[TextIO]:
    """Yields the file to write, or standard output. Raises PortalError where the file cannot be written."""
    if output is None:
        yield sys.stdout
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise PortalError(f"Cannot write {output} ({error.strerror}).") from error
