"""The commands for settlements: settle, statement, invoice, pay, void; and check, for what must always hold."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from json import loads
from pathlib import Path
from typing import Annotated, Any, LiteralString, TextIO, TypeAlias
from uuid import UUID

import psycopg
import typer
from psycopg import IsolationLevel
from psycopg.rows import class_row
from psycopg.types.json import set_json_loads
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from api.cli.owner import operate
from api.errors import PortalError

PAGE = 10_000
"""Fee events that are held at once."""

COLUMNS = (
    "id", "created_at", "fee_id", "subject_type", "subject_id", "base_cents", "rate", "fixed_cents", "unrounded",
    "bound", "amount_cents", "currency", "reverses",
)  # fmt: skip
"""Of a statement as CSV."""

LINE = {
    "time": "<", "fee": "<", "subject": "<", "base": ">", "rate": ">", "fixed": ">", "unrounded": ">",
    "bound": "<", "amount": ">", "reverses": "<",
}  # fmt: skip
"""The columns of a statement as a table, and on which side their cells stand."""

Row: TypeAlias = dict[str, Any]
"""A settlement or a fee event as SQL returns it; numbers with a point are Decimals."""

SettlementId = Annotated[UUID, typer.Argument(metavar="ID", help="The settlement's id, as `portal settle` told it.")]

app = typer.Typer(rich_markup_mode="rich")


class Format(StrEnum):
    """What a statement is written as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True)
class Settled:
    """What settle_fees made of a month for one beneficiary and currency, or would make: then it has no id."""

    id: UUID | None
    month: date
    beneficiary_uid: str
    currency: str
    exponent: int
    total_cents: int
    fee_events: int
    reversals: int

    def without(self, earlier: "Settled") -> "Settled":
        """What is left when an earlier month has had its part."""
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
        typer.Argument(metavar="MONTH", formats=["%Y-%m"], help="Such as 2026-10; every month that is due if missing."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be settled; write nothing.")] = False,
) -> None:
    """Settle the fees of a month, or of every month that is over and has fees in no settlement.

    Writes one settlement a beneficiary and currency; run again, it settles nothing twice. No money is moved.

    [dim]$[/] portal settle --dry-run\n
    [dim]$[/] portal settle\n
    [dim]$[/] portal settle 2026-10
    """
    console = _console()
    with _operate() as connection:
        if month is not None and not _is_over(connection, month.date()):
            if month.date() > _today(connection):
                raise PortalError(f"{month:%Y-%m} has not begun.")
            console.print(f"{month:%Y-%m} is not over: what is charged from now on is for a later settlement.")
        settled: list[Settled] = []
        try:
            if dry_run:
                settled += _would_settle(connection, _months(connection, month))
            else:
                with _progress() as progress:
                    for due in progress.track(_months(connection, month), description="Settling"):
                        settled += _settle(connection, due)
        finally:
            # each month is a transaction: what was made before an error stays
            if settled:
                console.print(_settled_table(settled, "would be settled" if dry_run else "settled"))
    for made in settled:
        if made.id is not None:
            console.print(f"{made.id}  {made.month:%Y-%m}  {made.currency}  {made.beneficiary_uid}", soft_wrap=True)
    if not settled:
        console.print("Nothing to settle.")


@app.command()
def invoice(settlement_id: SettlementId) -> None:
    """Note that an open settlement is invoiced. No money is moved.

    [dim]$[/] portal invoice 019a3c5e-7c00-7abc-8def-0123456789ab
    """
    _move("select public.invoice_settlement(%s)", settlement_id)


@app.command()
def pay(settlement_id: SettlementId) -> None:
    """Note that an invoiced settlement is paid. No money is moved.

    [dim]$[/] portal pay 019a3c5e-7c00-7abc-8def-0123456789ab
    """
    _move("select public.pay_settlement(%s)", settlement_id)


@app.command()
def void(
    settlement_id: SettlementId,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Kept with the settlement.")] = None,
) -> None:
    """Void an open or invoiced settlement: it is kept, and its fees are due again.

    [dim]$[/] portal void 019a3c5e-7c00-7abc-8def-0123456789ab --reason "wrong beneficiary"
    """
    _move("select public.void_settlement(%s, %s)", settlement_id, reason)


@app.command()
def statement(
    settlement_id: SettlementId,
    format: Annotated[Format, typer.Option(help="For people, or for programs.")] = Format.TABLE,  # noqa: A002
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Instead of the terminal.")
    ] = None,
) -> None:
    """Show one settlement with its fees, and how each came about.

    The table has amounts as people write them, CSV and JSON have whole minor units (cents).
    Times of the table and of CSV are the portal's; JSON is as /api/admin/settlements/ID answers, with every fee.

    [dim]$[/] portal statement 019a3c5e-7c00-7abc-8def-0123456789ab\n
    [dim]$[/] portal statement 019a3c5e-7c00-7abc-8def-0123456789ab --format csv
    """
    with _operate() as connection, _one_snapshot(connection):
        settlement = _get_settlement(connection, settlement_id, rows=1)
        pages = _pages(connection, settlement_id)
        # no bar among the lines of a terminal
        if output is None and sys.stdout.isatty():
            _write(format, sys.stdout, settlement, pages, _exponent(connection, settlement))
            return
        with _progress() as progress, _open(output) as file:
            task = progress.add_task("Writing", total=settlement["fee_events"])
            told = _telling(pages, partial(progress.advance, task))
            _write(format, file, settlement, told, _exponent(connection, settlement))


@app.command()
def check() -> None:
    """Check what must always hold: of bookings, charges, settlements, events. Exit code 1 where something is broken.

    [dim]$[/] portal check
    """
    console = _console()
    with _operate() as connection, Console(stderr=True).status("Checking"):
        rules = connection.execute("select name, violations, meaning from stats.invariants").fetchall()
    table = Table("rule", "", "violations")
    table.add_column("what would break it", max_width=80)
    for name, violations, meaning in rules:
        state = Text("broken", "red") if violations else Text("holds", "green")
        table.add_row(name, state, str(violations), meaning)
    console.print(table)
    broken = sum(violations > 0 for _, violations, _ in rules)
    if broken:
        console.print(f"{broken} of {len(rules)} rules are broken.", style="red")
        raise typer.Exit(1)
    console.print(f"All {len(rules)} rules hold.", style="green")


@contextmanager
def _operate() -> Iterator[psycopg.Connection]:
    """Yields an operator's connection. Times in JSON are in the portal's time zone, and numbers keep every digit.

    Raises PortalError with the sentence of a refusal.
    """
    with operate() as connection:
        set_json_loads(partial(loads, parse_float=Decimal), connection)
        connection.execute("select set_config('TimeZone', s.time_zone, false) from private.settings s")
        try:
            yield connection
        except psycopg.Error as error:
            from api.gateway import api_error  # --help needs not wait for it

            state, diagnosis = error.sqlstate or "", error.diag
            refused = api_error(state, diagnosis.message_primary or "", diagnosis.message_detail or "")
            if refused is None or not state.startswith("PT"):
                raise
            raise PortalError(f"{refused.message('en')}.") from error


@contextmanager
def _one_snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """What is read meanwhile is of one moment, and nothing can be written."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        yield


def _months(connection: psycopg.Connection, month: datetime | None) -> list[date]:
    """The month that was asked for, or those that are due, oldest first."""
    if month is not None:
        return [month.date()]
    return [due for (due,) in connection.execute("select private.due_months()")]


def _today(connection: psycopg.Connection) -> date:
    """In the portal's time zone, which is the connection's."""
    row = connection.execute("select current_date").fetchone()
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
    """What settling these months one after the other would make: each takes what the ones before it left."""
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


def _settled_table(settled: list[Settled], title: str) -> Table:
    table = Table("beneficiary", "period", "currency", title=title)
    for name in ("charges", "reversals", "total"):
        table.add_column(name, justify="right")
    for made in settled:
        table.add_row(
            made.beneficiary_uid,
            f"{made.month:%Y-%m}",
            made.currency,
            str(made.fee_events - made.reversals),
            str(made.reversals),
            _major(made.total_cents, made.exponent),
        )
    return table


def _move(statement: LiteralString, *arguments: object) -> None:
    """Gives a settlement another status, and says so."""
    with _operate() as connection:
        row = connection.execute(statement, arguments).fetchone()
        assert row
        settlement: Row = row[0]
        total = _major(settlement["total_cents"], _exponent(connection, settlement))
    _console().print(
        f"{settlement['status']}: {total} {settlement['currency']} for {settlement['beneficiary_uid']},"
        f" {settlement['period_from']} until {settlement['period_to']}. No money is moved.",
        soft_wrap=True,
    )


def _get_settlement(connection: psycopg.Connection, settlement_id: UUID, *, after: str | None = None, rows: int) -> Row:
    row = connection.execute("select public.get_settlement(%s, %s, %s)", (settlement_id, after, rows)).fetchone()
    assert row
    settlement: Row = row[0]
    return settlement


def _pages(connection: psycopg.Connection, settlement_id: UUID) -> Iterator[list[Row]]:
    """The fee events of a settlement, so many at a time."""
    after = None
    while page := _get_settlement(connection, settlement_id, after=after, rows=PAGE)["items"]:
        yield page
        after = page[-1]["id"]


def _telling(pages: Iterable[list[Row]], tell: partial[None]) -> Iterator[list[Row]]:
    """The pages; of each it is told how many lines it had when it is done."""
    for page in pages:
        yield page
        tell(len(page))


def _exponent(connection: psycopg.Connection, settlement: Row) -> int:
    """How many decimals the settlement's currency has."""
    row = connection.execute("select private.currency_exponent(%s)", (settlement["currency"],)).fetchone()
    assert row
    exponent: int = row[0]
    return exponent


def _write(format: Format, file: TextIO, settlement: Row, pages: Iterable[list[Row]], exponent: int) -> None:  # noqa: A002
    match format:
        case Format.TABLE:
            _write_table(file, settlement, pages, exponent)
        case Format.CSV:
            lines = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
            lines.writeheader()
            for page in pages:
                lines.writerows(page)
        case Format.JSON:
            _write_json(file, settlement, pages)


def _write_table(file: TextIO, settlement: Row, pages: Iterable[list[Row]], exponent: int) -> None:
    """Plain columns, as wide as a page needs them: Rich would take minutes for a large settlement."""
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
    file.writelines(f"{name:<13}{value}\n" for name, value in head.items())
    widths = [0] * len(LINE)
    for page in pages:
        rows = [_line(event, major) for event in page]
        if not any(widths):
            file.write("\n")
            rows.insert(0, tuple(LINE))
        widths = [max(width, *map(len, column)) for width, column in zip(widths, zip(*rows, strict=True), strict=True)]
        for row in rows:
            aligned = (f"{cell:{LINE[name]}{width}}" for name, cell, width in zip(LINE, row, widths, strict=True))
            file.write("  ".join(aligned).rstrip() + "\n")


def _line(event: Row, major: Callable[[int | str | None], str]) -> tuple[str, ...]:
    """The cells of a fee event under the names of LINE."""
    return (
        event["created_at"][:19].replace("T", " "),
        event["fee_id"],
        f"{event['subject_type']} {event['subject_id']}",
        major(event["base_cents"]),
        "" if event["rate"] is None else f"{(event['rate'] * 100).normalize():f} %",
        major(event["fixed_cents"]),
        major(event["unrounded"]),
        event["bound"] or "",
        major(event["amount_cents"]),
        event["reverses"] or "",
    )


def _write_json(file: TextIO, settlement: Row, pages: Iterable[list[Row]]) -> None:
    from api.routes.admin.settlements import FeeEvent, SettlementFigures  # --help needs not wait for it

    head = SettlementFigures.from_row(settlement).model_dump_json(by_alias=True)
    file.write(f'{{"settlement": {head}, "items": [')
    comma = ""
    for page in pages:
        for event in page:
            file.write(f"{comma}\n{FeeEvent.from_row(event).model_dump_json(by_alias=True)}")
            comma = ","
    file.write("\n]}\n")


def _major(minor: int | str | None, exponent: int) -> str:
    """Minor units as people write them, exactly: 1234 cents are 12.34; nothing where there is none."""
    return "" if minor is None else f"{Decimal(minor).scaleb(-exponent):f}"


def _console() -> Console:
    """Prints what is in the database as it is; wraps no lines where nobody reads along."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 1000
    return console


def _progress() -> Progress:
    """A bar on a terminal; nothing elsewhere, nor in what is piped on."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # or what is written to a pipe would land on the terminal
        redirect_stdout=False,
    )


@contextmanager
def _open(output: Path | None) -> Iterator[TextIO]:
    """The file to write, or standard output. Raises PortalError where it cannot be written."""
    if output is None:
        yield sys.stdout
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise PortalError(f"Cannot write {output} ({error.strerror}).") from error
