"""The commands for settlements and their fees: settle, statement, invoice, pay, write-off, void, adjust, reverse."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, LiteralString, TextIO, TypeAlias
from uuid import UUID

import psycopg
import typer
from psycopg.rows import class_row
from rich.console import Console

from api.cli.amounts import major, minor, read_amount
from api.cli.files import Output, open_binary_output, open_output
from api.cli.owner import console, one_snapshot, operator_transaction, owner_connection, progress
from api.cli.tables import Row, Table
from api.cli.texts import cells, visible
from api.errors import PortalError
from api.paper.statement import Language, statement_pdf

PAGE = 10_000
"""Fee events that are read at once."""

MAX_PAPER = 10_000
"""Fee events of a PDF: so many take six seconds and 600 MiB of memory, with the longest names four times that."""

COLUMNS = (
    "id", "created_at", "fee_id", "subject_type", "subject_id", "base_cents", "rate", "fixed_cents", "unrounded",
    "bound", "amount_cents", "currency", "reverses", "reason", "payer_uid", "month", "slot_start", "adjusts",
    "corrects_number", "corrects_settlement_id", "reversed_by_number", "reversed_by_settlement_id", "operator",
)  # fmt: skip
"""The columns of a statement as CSV."""

VALUES = {"created_at", "base_cents", "rate", "fixed_cents", "unrounded", "amount_cents", "month", "slot_start"}
"""Those that have numbers and times, and no texts."""

LINE = (
    "time", "fee", "subject", "base", "rate", "fixed", "unrounded", "bound", "amount", "reverses", "payer", "month",
    "slot", "adjusts", "corrects", "operator",
)  # fmt: skip
"""The columns of a statement as a table."""

NUMBERS = {"base", "rate", "fixed", "unrounded", "amount", "charges", "reversals", "adjustments", "total"}
"""The columns that are aligned to the right."""

STEPS = (
    ("created", ""),
    ("invoiced", ""),
    ("paid", ""),
    ("written off", "write_off_reason"),
    ("voided", "void_reason"),
)
"""The steps of a settlement, and where the reason of each is."""

Record: TypeAlias = dict[str, Any]
"""A settlement or a fee event as SQL returns it; numbers with a point are Decimals."""


class StatementFormat(StrEnum):
    """A format of a statement: `table` for people, `pdf` for paper, the others for programs."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PDF = "pdf"


SettlementId = Annotated[UUID, typer.Argument(metavar="ID", help="The id that `portal settle` printed.")]
FeeEventId = Annotated[UUID, typer.Argument(metavar="FEE_EVENT", help="The id of a charge, as a statement shows it.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Stored with it.")]

app = typer.Typer()


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
    adjustments: int

    @property
    def cells(self) -> tuple[str, ...]:
        """The settlement's row, without its id."""
        return (
            f"{self.month:%Y-%m}",
            self.beneficiary_uid,
            str(self.fee_events - self.reversals - self.adjustments),
            str(self.reversals),
            major(self.total_cents, self.exponent),
            self.currency,
        )

    @property
    def note(self) -> str:
        """The id, if there is one, and the number of adjustments, if there are any."""
        facts = [str(self.id or ""), f"{self.adjustments} adjustments" if self.adjustments else ""]
        return ", ".join(filter(None, facts))


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

    It gets a number and a due date, and its month is closed: what is charged for it later counts in an open month. No
    money is moved.

    \b
    $ portal invoice 019a3c5e-7c00-7abc-8def-0123456789ab
    """
    with owner_connection() as connection, operator_transaction(connection):
        _move(connection, "select public.invoice_settlement(%s)", settlement_id)


@app.command()
def pay(
    settlement_id: SettlementId,
    amount: Annotated[
        Decimal | None,
        typer.Option(metavar="AMOUNT", parser=read_amount, help="Such as 12.50. Default: what is not paid yet."),
    ] = None,
    on: Annotated[
        datetime | None,
        typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="Such as 2026-11-03. Default: today."),
    ] = None,
    reference: Annotated[str | None, typer.Option(metavar="TEXT", help="Such as the bank's.")] = None,
    payer: Annotated[
        str | None, typer.Option(metavar="UID", help="Whose debt it pays. Default: the oldest debts first.")
    ] = None,
) -> None:
    """Record that an invoiced settlement, or a part of it, is paid.

    With the last part the settlement is paid. No money is moved.

    \b
    $ portal pay 019a3c5e-7c00-7abc-8def-0123456789ab
    $ portal pay ID --amount 12.50 --on 2026-11-03
    """
    with owner_connection() as connection, operator_transaction(connection):
        settlement = _get_settlement(connection, settlement_id, rows=1)
        currency = settlement["currency"]
        cents = None if amount is None else minor(amount, _exponent(connection, currency), currency)
        _move(
            connection,
            "select public.pay_settlement(%s, %s::bigint, %s::date, %s, %s)",
            *(settlement_id, cents, on, reference, payer),
        )


@app.command("write-off")
def write_off(settlement_id: SettlementId, reason: Reason) -> None:
    """Give up what is not paid of an invoiced settlement.

    What was given back of its charges since is taken off before, by a credit note; if nothing is left, the settlement
    is paid. Payments stay. No money is moved.

    \b
    $ portal write-off 019a3c5e-7c00-7abc-8def-0123456789ab --reason "insolvent"
    """
    with owner_connection() as connection, operator_transaction(connection):
        _move(connection, "select public.write_off_settlement(%s, %s)", settlement_id, reason)


@app.command()
def void(
    settlement_id: SettlementId,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Stored with the settlement.")] = None,
) -> None:
    """Void an open or invoiced settlement.

    The settlement and its lines are kept, and its fees are due again. No money is moved.

    \b
    $ portal void 019a3c5e-7c00-7abc-8def-0123456789ab --reason "wrong month"
    """
    with owner_connection() as connection, operator_transaction(connection):
        _move(connection, "select public.void_settlement(%s, %s)", settlement_id, reason)


@app.command()
def adjust(
    fee_event_id: FeeEventId,
    reason: Reason,
    credit: Annotated[
        Decimal | None,
        typer.Option(metavar="AMOUNT", parser=read_amount, help="Give back a part of the charge, such as 1.00."),
    ] = None,
    charge: Annotated[
        Decimal | None, typer.Option(metavar="AMOUNT", parser=read_amount, help="Charge more, such as 1.00.")
    ] = None,
    waive: Annotated[bool, typer.Option("--waive", help="Give back what is left of the charge.")] = False,
) -> None:
    """Credit a part of a charge, charge more, or waive it.

    Writes a fee event that names the charge, due in the next settlement. No money is moved.

    \b
    $ portal adjust FEE_EVENT --credit 1.00 --reason "late start"
    $ portal adjust FEE_EVENT --waive --reason "first month"
    """
    if [credit is not None, charge is not None, waive].count(True) != 1:
        raise typer.BadParameter("Give one of --credit, --charge and --waive.")
    with owner_connection() as connection, operator_transaction(connection):
        row = connection.execute(
            "select e.currency from public.fee_events e where e.id = %s", (fee_event_id,)
        ).fetchone()
        cents = None
        if row is not None and not waive:
            amount = charge or -(credit or Decimal())
            cents = minor(amount, _exponent(connection, row[0]), row[0])
        _correct(connection, "select public.adjust_fee(%s, %s::bigint, %s)", fee_event_id, cents, reason)


@app.command()
def reverse(fee_event_id: FeeEventId, reason: Reason) -> None:
    """Give back what is left of a charge, for good.

    Writes a fee event that takes the charge back, due in the next settlement. No money is moved.

    \b
    $ portal reverse FEE_EVENT --reason "the issuer did not come"
    """
    with owner_connection() as connection, operator_transaction(connection):
        _correct(connection, "select public.reverse_fee(%s, %s)", fee_event_id, reason)


@app.command()
def statement(
    settlement_id: SettlementId,
    format: Annotated[  # noqa: A002
        StatementFormat, typer.Option(help="`table` for people, `pdf` for paper, the others for programs.")
    ] = StatementFormat.TABLE,
    language: Annotated[Language, typer.Option(help="That of a PDF.")] = Language.GERMAN,
    output: Output = None,
) -> None:
    """Show a settlement with every fee and its calculation.

    Also a voided one: its lines are kept. The table has decimal amounts; CSV and JSON have whole minor units (cents).
    The times of the table and of CSV are in the portal's time zone. JSON has the form of /api/admin/settlements/ID,
    with all fees on one page.

    \b
    $ portal statement 019a3c5e-7c00-7abc-8def-0123456789ab
    $ portal statement 019a3c5e-7c00-7abc-8def-0123456789ab --format csv
    $ portal statement 019a3c5e-7c00-7abc-8def-0123456789ab \\
    >   --format pdf --output october.pdf
    """
    if format is StatementFormat.PDF and output is None:
        raise typer.BadParameter("A PDF needs --output FILE.")
    with owner_connection() as connection, one_snapshot(connection):
        settlement = _get_settlement(connection, settlement_id, rows=1)
        pages = _pages(connection, settlement_id)
        # a progress bar would break into the lines on the terminal
        if output is None and sys.stdout.isatty():
            _write(format, sys.stdout, settlement, pages, _exponent(connection, settlement["currency"]))
            return
        exponent = _exponent(connection, settlement["currency"])
        with progress() as bar:
            task = bar.add_task("Writing", total=settlement["fee_events"])
            pages = _advancing(pages, partial(bar.advance, task))
            if format is StatementFormat.PDF and output is not None:
                _write_pdf(output, settlement, pages, language)
                return
            with open_output(output) as file:
                _write(format, file, settlement, pages, exponent)


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


def _settle(connection: psycopg.Connection, month: date) -> list[Settled]:
    with operator_transaction(connection), connection.cursor(row_factory=class_row(Settled)) as cursor:
        return cursor.execute(
            "select s.*, %(month)s::date as month, private.currency_exponent(s.currency) as exponent"
            " from jsonb_to_recordset("
            "   public.settle_fees(%(month)s::date, (%(month)s::date + interval '1 month')::date)"
            " ) as s (id uuid, beneficiary_uid text, currency text, total_cents bigint, fee_events bigint,"
            " reversals bigint, adjustments bigint)",
            {"month": month},
        ).fetchall()


def _would_settle(connection: psycopg.Connection, months: list[date]) -> list[Settled]:
    """What settling these months one after the other would make: a month settles what the earlier ones left."""
    with connection.transaction(force_rollback=True):
        return [replace(made, id=None) for month in months for made in _settle(connection, month)]


def _print_settled(settled: list[Settled]) -> None:
    """Prints the settlements; of a dry run, those that would be made."""
    names = ("month", "beneficiary", "charges", "reversals", "total", "currency")
    if console.is_terminal:
        table = Table(console, *names, numbers=NUMBERS, note="settlement")
        table.print(Row(made.cells, made.note) for made in settled)
    else:
        table = Table(console, *names, "settlement", "adjustments", numbers=NUMBERS)
        table.print(Row((*made.cells, str(made.id or ""), str(made.adjustments))) for made in settled)


def _move(connection: psycopg.Connection, statement: LiteralString, *arguments: object) -> None:
    """Calls the function that changes a settlement, and prints the settlement."""
    row = connection.execute(statement, arguments).fetchone()
    assert row
    settlement: Record = row[0]
    exponent = _exponent(connection, settlement["currency"])
    facts = [
        f"{settlement['period_from']} until {settlement['period_to']}",
        *([f"number {settlement['number']}, due on {settlement['due_on']}"] if settlement["number"] else []),
        *([f"{major(settlement['paid_cents'], exponent)} paid"] if settlement["paid_cents"] else []),
    ]
    console.print(
        f"{settlement['status'].replace('_', ' ')}: {major(settlement['total_cents'], exponent)}"
        f" {visible(settlement['currency'])} for {visible(settlement['beneficiary_uid'])},"
        f" {visible(', '.join(facts))}. No money is moved."
    )


def _correct(connection: psycopg.Connection, statement: LiteralString, *arguments: object) -> None:
    """Calls the function that corrects a charge, and prints the fee event that it wrote."""
    row = connection.execute(statement, arguments).fetchone()
    assert row
    event: Record = row[0]
    amount = major(event["amount_cents"], _exponent(connection, event["currency"]))
    does = f"adjusts {event['adjusts']}" if event["adjusts"] else f"reverses {event['reverses']}"
    console.print(
        f"fee event {event['id']}: {amount} {visible(event['currency'])}, {does}."
        " It is due in the next settlement. No money is moved."
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


def _exponent(connection: psycopg.Connection, currency: str) -> int:
    """How many decimals a currency has."""
    row = connection.execute("select private.currency_exponent(%s)", (currency,)).fetchone()
    assert row
    exponent: int = row[0]
    return exponent


def _write(
    form: StatementFormat, file: TextIO, settlement: Record, pages: Iterable[list[Record]], exponent: int
) -> None:
    match form:
        case StatementFormat.TABLE:
            _write_table(file, settlement, pages, exponent)
        case StatementFormat.CSV:
            lines = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            lines.writeheader()
            for page in pages:
                lines.writerows(cells({name: event[name] for name in COLUMNS}, VALUES) for event in page)
        case StatementFormat.JSON:
            _write_json(file, settlement, pages)


def _write_pdf(output: Path, settlement: Record, pages: Iterable[list[Record]], language: Language) -> None:
    """Raises PortalError for too many fees, and where the packages for it are not installed."""
    if settlement["fee_events"] > MAX_PAPER:
        raise PortalError(
            f"The settlement has {settlement['fee_events']} fees, and a PDF at most {MAX_PAPER}:"
            " use --format csv, or portal settlements --format xlsx."
        )
    try:
        pdf = statement_pdf(settlement, chain.from_iterable(pages), language)
    except ImportError as error:
        raise PortalError(
            "A PDF needs the packages of the extra `pdf`: pip install 'togethersystems-backend[pdf]', "
            "or in a checkout uv sync --frozen --inexact --no-dev --extra pdf (.uv/bin/uv, where make fetched it)."
        ) from error
    with open_binary_output(output) as file:
        file.write(pdf)


def _write_table(file: TextIO, settlement: Record, pages: Iterable[list[Record]], exponent: int) -> None:
    """Writes the settlement, and a row for each fee event; on a terminal its calculation stands below the row."""
    in_major = partial(major, exponent=exponent)
    output = Console(file=file, markup=False, emoji=False, highlight=False)
    for name, value in _head(settlement, in_major):
        line = f"{name:<13}{visible(value)}"
        # only a terminal wraps it
        output.print(line, soft_wrap=not output.is_terminal)
    if output.is_terminal:
        table, row = Table(output, "time", "fee", "amount", numbers=NUMBERS, note="calculation"), _short_row
    else:
        table, row = Table(output, *LINE, numbers=NUMBERS), _full_row
    if settlement["fee_events"]:
        file.write("\n")
    for page in pages:
        table.print(row(event, in_major) for event in page)


def _head(settlement: Record, in_major: Callable[[int | str | None], str]) -> Iterator[tuple[str, str]]:
    """What is written about a settlement above its lines: a name and a value each."""
    currency = settlement["currency"]
    figures = f"{in_major(settlement['charged_cents'])} charged, {in_major(settlement['reversed_cents'])} reversed"
    if settlement["adjusted_cents"]:
        figures += f", {in_major(settlement['adjusted_cents'])} adjusted"
    yield "settlement", settlement["id"]
    if settlement["number"]:
        yield "number", settlement["number"]
    yield "beneficiary", settlement["beneficiary_uid"]
    yield "period", f"{settlement['period_from']} until {settlement['period_to']}"
    yield "status", settlement["status"].replace("_", " ") + (", overdue" if settlement["is_overdue"] else "")
    yield "total", f"{in_major(settlement['total_cents'])} {currency}"
    if settlement["payments"]:
        yield "paid", f"{in_major(settlement['paid_cents'])} {currency}"
    yield "fees", f"{settlement['fee_events']}: {figures}"
    for step, reason in STEPS:
        column = step.replace(" ", "_")
        if settlement[f"{column}_at"]:
            because = f": {settlement[reason]}" if reason and settlement[reason] else ""
            yield step, f"{_time(settlement[f'{column}_at'])} by {settlement[f'{column}_by']}{because}"
    if settlement["due_on"]:
        yield "due", settlement["due_on"]
    for name in ("replaces", "replaced_by"):
        for other in settlement[name]:
            status = other["status"].replace("_", " ")
            yield name.replace("_", " "), f"{other['number'] or other['id']} ({status})"
    for payer in settlement["payers"]:
        yield "payer", f"{payer['payer_uid'] or '-'}: {in_major(payer['total_cents'])} (fees: {payer['fee_events']})"
    for payment in settlement["payments"]:
        payer = f" of {payment['payer_uid']}" if payment["payer_uid"] else ""
        reference = f", reference {payment['reference']}" if payment["reference"] else ""
        paid = f"{in_major(payment['amount_cents'])}{payer}, recorded by {payment['recorded_by']}{reference}"
        yield "payment", f"{payment['paid_on']}: {paid}"


def _full_row(event: Record, in_major: Callable[[int | str | None], str]) -> Row:
    """A fee event with the columns of LINE."""
    return Row(
        (
            _time(event["created_at"]),
            event["fee_id"],
            f"{event['subject_type']} {event['subject_id']}",
            in_major(event["base_cents"]),
            _percent(event["rate"]),
            in_major(event["fixed_cents"]),
            in_major(event["unrounded"]),
            event["bound"] or "",
            in_major(event["amount_cents"]),
            event["reverses"] or "",
            event["payer_uid"] or "",
            event["month"][:7],
            _time(event["slot_start"] or ""),
            event["adjusts"] or "",
            event["corrects_number"] or event["corrects_settlement_id"] or "",
            event["operator"] or "",
        )
    )


def _short_row(event: Record, in_major: Callable[[int | str | None], str]) -> Row:
    """A fee event with its time, fee and amount, and its calculation in the note."""
    charge = event["reverses"] or event["adjusts"]
    if charge is not None:
        calculation = f"{'reverses' if event['reverses'] else 'adjusts'} {charge}"
        if settlement := event["corrects_number"] or event["corrects_settlement_id"]:
            calculation += f" of {settlement}"
        if event["reason"]:
            calculation += f", by {event['operator']}: {event['reason']}"
    else:
        base, rate, fixed = in_major(event["base_cents"]), _percent(event["rate"]), in_major(event["fixed_cents"])
        calculation = f"{base} × {rate} + {fixed} = {in_major(event['unrounded'])}"
        if event["bound"]:
            calculation += f", limited by the fee's {event['bound']}"
    start = f" at {_time(event['slot_start'])}" if event["slot_start"] else ""
    payer = f"; owed by {event['payer_uid']}" if event["payer_uid"] else ""
    note = f"{event['subject_type']} {event['subject_id']}{start}{payer}; {event['month'][:7]}: {calculation}"
    return Row((_time(event["created_at"]), event["fee_id"], in_major(event["amount_cents"])), note)


def _time(moment: str) -> str:
    """A time as people write it: 2026-10-01 12:00:00."""
    return moment[:19].replace("T", " ")


def _percent(rate: Decimal | int | None) -> str:
    """A rate as people write it: 0.0250 is 2.5 %."""
    return "" if rate is None else f"{(Decimal(rate) * 100).normalize():f} %"


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
