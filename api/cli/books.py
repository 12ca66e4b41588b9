"""The commands for accountants: settlements (the lines of all of them, as a file) and balance."""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeAlias

import psycopg
import typer
from psycopg.rows import args_row
from pydantic.alias_generators import to_camel
from rich.console import Console

from api.cli.amounts import major
from api.cli.files import Format, Output, open_binary_output, open_output
from api.cli.owner import one_snapshot, owner_connection, progress
from api.cli.tables import Row, Table
from api.cli.texts import cells, visible
from api.errors import PortalError

PAGE = 1000
"""Lines that are read at once."""

SHEET_ROWS = 1_048_576
"""The rows of a sheet, with the names of the columns: Excel reads no more."""

SHEET_DIGITS = 15
"""The digits of a number that Excel keeps; LibreOffice keeps some more."""

COLUMNS = (
    "number", "status", "beneficiary", "payer", "period_from", "period_to", "month", "fee", "base", "rate", "fixed",
    "bound", "amount", "currency", "subject", "slot_start", "kind", "reason", "reversed_by", "invoiced_at", "due_on",
    "corrects", "operator", "created_at", "settlement", "fee_event", "charge", "cancelled_at",
)  # fmt: skip
"""The columns of the lines of settlements."""

AMOUNTS = {"base", "fixed", "amount"}
"""Those that are amounts in `currency`."""

SUMS = ("unsettled", "open", "invoiced", "paid", "written_off", "total")
"""The sums of a balance."""

VALUES = AMOUNTS | {
    *SUMS, "rate", "as_of", "period_from", "period_to", "month", "slot_start", "invoiced_at", "due_on", "created_at",
    "cancelled_at",
}  # fmt: skip
"""The columns of both that have numbers and times, and no texts."""

LINES = """
    select to_jsonb(r)
    from (
      select
        s.number, s.status, private.uid_of(s.beneficiary_id) as beneficiary, l.payer_uid as payer, s.period_from,
        s.period_to, to_char(l.month, 'YYYY-MM') as month, l.fee_id as fee, l.base_cents as base, l.rate,
        l.fixed_cents as fixed, l.bound, l.amount_cents as amount, l.currency,
        l.subject_type || ' ' || l.subject_id as subject, l.slot_start,
        case when l.reverses is not null then 'reversal' when l.adjusts is not null then 'adjustment' else 'charge' end
          as kind,
        l.reason, coalesce(l.reversed_by_number, l.reversed_by_settlement_id::text) as reversed_by, s.invoiced_at,
        s.due_on, coalesce(l.corrects_number, l.corrects_settlement_id::text) as corrects, l.operator, l.created_at,
        s.id as settlement, l.id as fee_event, coalesce(l.reverses, l.adjusts) as charge, b.cancelled_at,
        private.currency_exponent(l.currency) as exponent
      from public.settlements s
      join private.statement_lines l on l.settlement_id = s.id
      left join public.voucher_bookings b on l.subject_type = 'voucher_booking' and b.id = l.subject_id
      where %(month)s::date is null or date_trunc('month', s.period_from) = %(month)s::date
      order by s.period_from, s.created_at, s.id, l.id
    ) r
"""

Record: TypeAlias = dict[str, Any]
"""A line or a balance, by the names of its columns; amounts are Decimals or texts with all decimals."""

app = typer.Typer()


class FileFormat(StrEnum):
    """A format of the lines of settlements: `table` for people, the others for programs."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    XLSX = "xlsx"


@app.command()
def settlements(
    month: Annotated[
        datetime | None,
        typer.Option(metavar="MONTH", formats=["%Y-%m"], help="Such as 2026-10. Default: all."),
    ] = None,
    format: Annotated[  # noqa: A002
        FileFormat, typer.Option(help="`table` for people, the others for programs.")
    ] = FileFormat.TABLE,
    output: Output = None,
) -> None:
    """Write the lines of all settlements, for an accountant.

    Of those whose period begins in the month; also of voided ones, whose lines do not count (status). Amounts are
    decimals with all digits; times are in the portal's time zone. An xlsx file has numbers, except for amounts of more
    than 15 digits, which are texts: spreadsheets would change them.

    \b
    $ portal settlements --month 2026-10
    $ portal settlements --month 2026-10 --format xlsx --output october.xlsx
    """
    if format is FileFormat.XLSX and output is None:
        raise typer.BadParameter("An xlsx file needs --output FILE.")
    with owner_connection() as connection, one_snapshot(connection):
        lines = _lines(connection, month)
        if output is None:
            _write_lines(format, lines, output)
            return
        with progress() as bar:
            _write_lines(format, bar.track(lines, total=None, description="Writing"), output)


@app.command()
def balance(
    as_of: Annotated[
        datetime | None,
        typer.Option(
            metavar="DAY", formats=["%Y-%m-%d"], help="The end of this day, such as 2026-10-31. Default: now."
        ),
    ] = None,
    format: Annotated[Format, typer.Option(help="`table` for people, the others for programs.")] = Format.TABLE,  # noqa: A002
    output: Output = None,
) -> None:
    """Show the trial balance, by beneficiary and currency.

    What is unsettled, open, invoiced (and not paid), paid and written off adds up to the total, the sum of all fee
    events until that day. Amounts are decimals with all digits.

    \b
    $ portal balance
    $ portal balance --as-of 2026-10-31 --format csv
    """
    with owner_connection() as connection:
        row = connection.execute("select public.get_balance(%s::date)", (as_of,)).fetchone()
    assert row
    day: str = row[0]["as_of"]
    balances = [
        {"beneficiary": item["beneficiary_uid"], "currency": item["currency"]}
        | {name: major(item[f"{name}_cents"], item["decimals"]) for name in SUMS}
        for item in row[0]["items"]
    ]
    with open_output(output) as file:
        match format:
            case Format.TABLE:
                _write_balances(file, day, balances)
            case Format.CSV:
                _write_csv(file, ("as_of", "beneficiary", "currency", *SUMS), ({"as_of": day} | b for b in balances))
            case Format.JSON:
                _write_json(file, {"as_of": day}, balances)


def _lines(connection: psycopg.Connection, month: datetime | None) -> Iterator[Record]:
    """The lines of settlements, read in parts of PAGE."""
    # a cursor on the server: the lines of years need not fit into memory
    with connection.cursor("lines", row_factory=args_row(_line)) as cursor:
        cursor.itersize = PAGE
        cursor.execute(LINES, {"month": month})
        yield from cursor


def _line(row: Record) -> Record:
    """A line with its amounts and its rate as decimals."""
    amounts = {name: None if row[name] is None else Decimal(major(row[name], row["exponent"])) for name in AMOUNTS}
    return row | amounts | {"rate": None if row["rate"] is None else Decimal(row["rate"])}


def _write_lines(format: FileFormat, lines: Iterable[Record], output: Path | None) -> None:  # noqa: A002
    if format is FileFormat.XLSX:
        assert output
        _write_xlsx(output, lines)
        return
    with open_output(output) as file:
        match format:
            case FileFormat.TABLE:
                _write_table(file, lines)
            case FileFormat.CSV:
                _write_csv(file, COLUMNS, lines)
            case FileFormat.JSON:
                _write_json(file, {}, ({name: line[name] for name in COLUMNS} for line in lines))


def _write_table(file: TextIO, lines: Iterable[Record]) -> None:
    """Writes a row for each line; on a terminal its parties and its subject stand below the row."""
    output = Console(file=file, markup=False, emoji=False, highlight=False)
    if output.is_terminal:
        names: tuple[str, ...] = ("number", "status", "month", "fee", "amount", "currency")
        table = Table(output, *names, numbers=AMOUNTS, note="what")
    else:
        names = COLUMNS
        table = Table(output, *(name.replace("_", " ") for name in names), numbers=AMOUNTS | {"rate"})
    page: list[Row] = []
    for line in lines:
        page.append(Row(tuple(_text(line[name]) for name in names), _note(line) if output.is_terminal else ""))
        if len(page) == PAGE:
            table.print(page)
            page.clear()
    table.print(page)


def _note(line: Record) -> str:
    """The kind of a line, its parties and its subject."""
    start = f" at {line['slot_start'][:19].replace('T', ' ')}" if line["slot_start"] else ""
    reason = f": {line['reason']}" if line["reason"] else ""
    corrects = f" of {line['corrects']}" if line["corrects"] else ""
    parties = f"owed by {line['payer'] or '-'} to {line['beneficiary']}"
    return f"{line['kind']}{corrects} for {line['subject']}{start}, {parties}{reason}"


def _text(value: Decimal | str | None) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else value or ""


def _write_csv(file: TextIO, columns: tuple[str, ...], records: Iterable[Record]) -> None:
    lines = csv.DictWriter(file, columns, lineterminator="\n")
    lines.writeheader()
    lines.writerows(cells({name: _text(record[name]) for name in columns}, VALUES) for record in records)


def _write_json(file: TextIO, head: Record, records: Iterable[Record]) -> None:
    """Writes an object with items; amounts and rates are texts, because most programs read numbers as doubles."""
    file.write("{")
    file.writelines(f"{json.dumps(to_camel(name))}: {json.dumps(value)}, " for name, value in head.items())
    file.write('"items": [')
    comma = ""
    for record in records:
        item = {to_camel(name): _text(value) if isinstance(value, Decimal) else value for name, value in record.items()}
        file.write(f"{comma}\n{json.dumps(item)}")
        comma = ","
    file.write("\n]}\n")


def _write_balances(file: TextIO, day: str, balances: list[Record]) -> None:
    """Writes a row for each balance; on a terminal the parts of its total stand below the row."""
    output = Console(file=file, markup=False, emoji=False, highlight=False)
    names = [name.replace("_", " ") for name in SUMS]
    file.write(f"at the end of {day}\n\n")
    if output.is_terminal:
        table = Table(output, "beneficiary", "currency", "total", numbers=SUMS, note="parts")
        table.print(
            Row(
                (balance["beneficiary"], balance["currency"], balance["total"]),
                ", ".join(f"{balance[sum_]} {name}" for sum_, name in zip(SUMS[:-1], names[:-1], strict=True)),
            )
            for balance in balances
        )
    else:
        table = Table(output, "beneficiary", "currency", *names, numbers=names)
        table.print(Row(tuple(balance.values())) for balance in balances)


def _write_xlsx(output: Path, lines: Iterable[Record]) -> None:
    """Writes a workbook, a row at a time. Raises PortalError where the file cannot be written."""
    from xlsxwriter import Workbook  # imported late: only this format needs it
    from xlsxwriter.exceptions import FileCreateError

    rest = iter(lines)
    try:
        with open_binary_output(output) as file, Workbook(file, {"constant_memory": True}) as workbook:
            formats = _NumberFormats(workbook)
            is_full = True
            while is_full:
                sheet = workbook.add_worksheet()
                sheet.freeze_panes(1, 0)
                sheet.set_column(0, len(COLUMNS) - 1, 16)
                for column, name in enumerate(COLUMNS):
                    sheet.write_string(0, column, name.replace("_", " "))
                row = 0
                for row, line in enumerate(islice(rest, SHEET_ROWS - 1), 1):
                    _write_row(sheet, row, line, formats)
                is_full = row == SHEET_ROWS - 1
    except FileCreateError as error:
        raise PortalError(f"Cannot write {output} ({error}).") from error


class _NumberFormats(dict[int, Any]):
    """The format of amounts by the decimals of their currency."""

    def __init__(self, workbook: Any) -> None:
        super().__init__()
        self._workbook = workbook

    def __missing__(self, decimals: int) -> Any:
        number_format = f"#,##0.{'0' * decimals}".removesuffix(".")
        return self.setdefault(decimals, self._workbook.add_format({"num_format": number_format}))


def _write_row(sheet: Any, row: int, line: Record, formats: _NumberFormats) -> None:
    """Writes a line: its exact numbers as numbers, everything else as texts, which are never formulas."""
    for column, name in enumerate(COLUMNS):
        value = line[name]
        if isinstance(value, Decimal) and len(value.normalize().as_tuple().digits) <= SHEET_DIGITS:
            sheet.write_number(row, column, value, formats[4 if name == "rate" else line["exponent"]])
        elif value is not None:
            text = visible(_text(value))
            # the library would take such a text for the XML of a cell
            sheet.write_string(row, column, f"{text} " if text.endswith("</r>") else text)
