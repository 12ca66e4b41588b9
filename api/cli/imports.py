"""The commands `portal import`: move in from another store."""

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import psycopg
import typer
from psycopg.rows import dict_row
from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.progress import ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from api.cli.files import Format, Output, open_output
from api.cli.owner import INCOMPLETE, console, owner_connection, patient_transaction, progress
from api.cli.tables import Row, Table
from api.cli.texts import cells, json_cell, visible
from api.errors import PortalError
from api.imports.d1 import open_d1
from api.imports.loading import Loaded, Report, begin, finish, load, load_table
from api.imports.source import TABLES, Source, Staged, stage
from api.settings import load_settings

COUNTS = ("read", "written", "updated", "unchanged", "rejected", "missing", "changed_here")
"""The columns of the report."""

REJECTS = ("reject", "source", "table", "id", "reason", "detail", "row")
"""The columns of the rejects."""

app = typer.Typer(no_args_is_help=True, help="Move in from another store. docs/import.md says how.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]
ChargeFrom = Annotated[
    datetime | None,
    typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="Charge bookings made from this day on. Default: none."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


class _RateColumn(ProgressColumn):
    """The rows in a second."""

    def render(self, task: Task) -> Text:
        """The rate, once it is known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@app.command()
def d1(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, exists=True)],
    dry_run: DryRun = False,
    charge_from: ChargeFrom = None,
    as_json: AsJson = False,
) -> None:
    """Import a Cloudflare D1 database.

    FILE is a SQLite file, or the SQL dump of `wrangler d1 export`. Run it again to go on after an interruption, or with
    a newer export: only what is new or has changed is written. Imported history makes no fees and no events of its own.
    The exit code is 3 if a row was rejected: `portal import rejects` lists them.

    \b
    $ wrangler d1 export portal --remote --output portal.sql
    $ portal import d1 portal.sql --dry-run
    $ portal import d1 portal.sql
    """
    with open_d1(file) as source, owner_connection() as connection:
        loaded = _load(connection, source, dry_run, charge_from)
        notes = [f"The table {name} is not imported ({number} rows)." for name, number in source.unknown_tables.items()]
    _print_reports([(loaded, notes)], dry_run, as_json)


@app.command()
def http(
    urls: Annotated[list[str], typer.Argument(metavar="URL...")],
    dry_run: DryRun = False,
    charge_from: ChargeFrom = None,
    as_json: AsJson = False,
) -> None:
    """Import what the lists of running servers show: legacy ones, or ones like this.

    URL is the address of a server; programs on several ports are several servers. IMPORT_API_KEY is the API key of all,
    which have to be on one host then.
    All lists are read before anything is written. Run it again, with the same URLs, for what is new or has changed.
    Lists do not show everything: the command says what is missing. The exit code is 3 if a row was rejected.

    \b
    $ portal import http http://127.0.0.1:3200 http://127.0.0.1:3300 http://127.0.0.1:3400 --dry-run
    $ IMPORT_API_KEY=... portal import http https://portal.example.org
    """
    from api.imports.http import open_http  # imported late: other commands do not need it

    key = load_settings().import_api_key
    if key is not None and len({urlsplit(url).hostname for url in urls}) > 1:
        raise PortalError("IMPORT_API_KEY is the key of one host: import the others by a command of their own.")
    with ExitStack() as opened:
        with progress(_RateColumn()) as bar:
            task = bar.add_task("Reading", total=None)
            sources = [opened.enter_context(open_http(url, key, partial(bar.advance, task))) for url in urls]
        with owner_connection() as connection:
            reports = [(_load(connection, source, dry_run, charge_from), source.notes) for source in sources]
    _print_reports(reports, dry_run, as_json)


@app.command()
def contracts(
    place: Annotated[str, typer.Argument(metavar="FOLDER|URL")],
    as_json: AsJson = False,
) -> None:
    """Import the stored documents of contracts, after their rows.

    FOLDER is a copy of the bucket, URL the bucket itself: a public one, or one with the bearer token in
    IMPORT_BUCKET_TOKEN. Each file must have the hash that its row says; what the store has already stays. The exit code
    is 3 if a document is missing or differs.

    \b
    $ rclone copy r2:portal-contracts bucket
    $ portal import contracts bucket
    $ portal import contracts https://documents.example.org
    """
    from api.imports.documents import Documents, Folder, load_documents, open_bucket  # imported late: see http
    from api.storage import Storage

    settings = load_settings()
    if "://" not in place and not Path(place).is_dir():
        raise typer.BadParameter(f"There is no folder {place}.")

    async def store(advance: Callable[[], None]) -> Documents:
        storage = Storage(settings)
        if "://" not in place:
            return await load_documents(connection, storage, Folder(Path(place)), advance)
        async with open_bucket(place, settings.import_bucket_token) as bucket:
            return await load_documents(connection, storage, bucket, advance)

    with owner_connection() as connection, progress(_RateColumn()) as bar:
        task = bar.add_task("Storing", total=None)
        found = asyncio.run(store(lambda: bar.advance(task)))
    if as_json:
        typer.echo(json.dumps({to_camel(name): value for name, value in vars(found).items()}, indent=2))
    else:
        console.print(f"{found.read} documents: {found.stored} stored, {found.already_there} already there.")
        Table(console, "problem", "document").print(
            Row((problem, path), style="red")
            for problem, paths in (("missing", found.missing), ("another hash, or claimed twice", found.differing))
            for path in paths
        )
    if found.missing or found.differing:
        raise typer.Exit(INCOMPLETE)


@app.command()
def export(folder: Annotated[Path, typer.Argument(metavar="FOLDER", file_okay=False, exists=True)]) -> None:
    """Fill an empty database from an export of `portal export`, and verify it.

    All rows and documents, in one transaction: an error leaves nothing. Afterwards every table has the number of rows,
    the sums and the checksum of the manifest. No trigger runs: fees, settlements and events are those of the export.

    \b
    $ export DATABASE_URL=postgresql://...
    $ portal migrate
    $ portal import export moved
    """
    # imported late: other commands do not need them
    from api.exports.reading import read_export
    from api.storage import Storage

    settings = load_settings()
    with owner_connection() as connection, progress() as bar:
        task = bar.add_task("Importing", total=None)
        manifest = read_export(
            connection, Storage(settings), folder, lambda done, of: bar.update(task, completed=done, total=of)
        )
    Table(console, "table", "rows", "checksum", numbers=("rows",)).print(
        Row((name, str(table.totals.rows), table.totals.checksum[:12])) for name, table in manifest.tables.items()
    )
    console.print("Every table is the same as it was exported.", style="green")


@app.command()
def rejects(
    format: Annotated[Format, typer.Option(help="`table` for people, the others for --retry.")] = Format.TABLE,  # noqa: A002
    output: Output = None,
    retry: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, exists=True, help="Import the mended rows of this file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the rows that could not be imported, or import mended ones.

    Each with the whole row of the source and the reason; docs/import.md explains the reasons. To mend rows, write the
    list as CSV or JSON, correct the column `row`, and give the file to --retry.

    \b
    $ portal import rejects
    $ portal import rejects --format csv --output rejects.csv
    $ portal import rejects --retry rejects.csv
    """
    if retry is not None:
        with owner_connection() as connection:
            reports = [(loaded, list[str]()) for loaded in _retry(connection, retry)]
        _print_reports(reports, False, as_json)
        return
    with (
        owner_connection() as connection,
        patient_transaction(connection),
        connection.cursor("rejects", row_factory=dict_row) as cursor,
        open_output(output) as opened,
    ):
        # a row has up to 256 KiB
        cursor.itersize = 20
        cursor.execute(
            "select id::text as reject, source, legacy_table as table, row_id as id, reason, detail,"
            " case when %s then content end as row from private.import_rejects where resolved_at is null"
            " order by created_at, legacy_table, id",
            (format is not Format.TABLE,),
        )
        match format:
            case Format.TABLE:
                table = Table(
                    Console(file=opened, markup=False, emoji=False, highlight=False),
                    "table", "id", "reason", note="detail",
                )  # fmt: skip
                while found := cursor.fetchmany(1000):
                    table.print(Row((r["table"], r["id"] or "", r["reason"]), r["detail"] or "") for r in found)
            case Format.CSV:
                lines = csv.DictWriter(opened, REJECTS, lineterminator="\n")
                lines.writeheader()
                # what `--retry` reads comes back as it is
                lines.writerows(
                    cells({n: r[n] or "" for n in REJECTS}, ("reject", "source", "table"))
                    | {"row": json_cell(r["row"])}
                    for r in cursor
                )
            case Format.JSON:
                opened.writelines(f"{json.dumps(record)}\n" for record in cursor)


def _load(connection: psycopg.Connection, source: Source, dry_run: bool, charge_from: datetime | None) -> Loaded:
    with progress(_RateColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("Importing", total=sum(source.count(table) for table in TABLES))
        return load(
            connection,
            source,
            dry_run=dry_run,
            charge_from=None if charge_from is None else charge_from.date(),
            advance=lambda rows: bar.advance(task, rows),
        )


class _Mended(msgspec.Struct):
    """A line of a file of rejects."""

    source: Annotated[str, msgspec.Meta(min_length=1)]
    table: str
    row: dict[str, object]
    reject: UUID | None = None


def _retry(connection: psycopg.Connection, file: Path) -> list[Loaded]:
    """Imports the mended rows of a file: a run for each source, and for each day from which its bookings are charged.

    The file is read again for each table of each run: its rows may be large.
    Raises PortalError where it cannot be read.
    """
    found = [(record.source, record.table, record.reject) for record, _ in _read_mended(file)]
    if not found or any(table not in TABLES for _, table, _ in found):
        raise PortalError(f"{file} must have rows, each with the names of its source and its table.")
    days: dict[UUID | None, date] = dict(
        connection.execute(
            "select j.id, (r.charge_from at time zone s.time_zone)::date from private.import_rejects j"
            " join private.import_runs r on r.id = j.run cross join private.settings s where j.id = any (%s)",
            ([reject for *_, reject in found],),
        ).fetchall()
    )
    tables: dict[tuple[str, date | None], set[str]] = {}
    for source, name, reject in sorted(found, key=lambda part: part[0]):
        tables.setdefault((source, days.get(reject)), set()).add(name)
    runs = [(begin(connection, source, {"name": file.name}, day), (source, day)) for source, day in tables]
    for table in TABLES:
        for loaded, run in runs:
            if table in tables[run]:
                rows = (
                    row
                    for record, row in _read_mended(file)
                    if record.table == table and (record.source, days.get(record.reject)) == run
                )
                load_table(connection, loaded, table, rows)
    for loaded, _ in runs:
        finish(connection, loaded, 0)
    return [loaded for loaded, _ in runs]


def _read_mended(file: Path) -> Iterator[tuple[_Mended, Staged]]:
    """The rows of a file of rejects, one after the other. Raises PortalError where it cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            while (first := lines.read(1)).isspace():
                pass
            lines.seek(0)
            for fields in _json_lines(lines) if first == "{" else _csv_lines(lines):
                record = msgspec.convert(fields, _Mended)
                yield record, stage(record.row, str(record.reject) if record.reject else None)
    except (OSError, ValueError, KeyError, RecursionError, csv.Error, msgspec.MsgspecError) as error:
        why = " ".join(str(error).split())
        raise PortalError(f"{file} has no rows as `portal import rejects` writes them ({why}).") from error


def _json_lines(lines: TextIO) -> Iterator[object]:
    return (json.loads(line) for line in lines if line.strip())


def _csv_lines(lines: TextIO) -> Iterator[object]:
    # a row may be long
    csv.field_size_limit(2**31 - 1)
    for record in csv.DictReader(lines):
        yield record | {"row": json.loads(record["row"]), "reject": record.get("reject") or None}


def _print_reports(reports: list[tuple[Loaded, list[str]]], dry_run: bool, as_json: bool) -> None:
    """Prints what was done, and what the source does not show; ends with INCOMPLETE where a row was not taken.

    The JSON of one report is an object, that of several is an array of them.
    """
    if as_json:
        told = [
            {
                "run": loaded.run, "source": loaded.source, "dryRun": dry_run, "statesSet": loaded.states_set,
                "seconds": loaded.seconds, "notes": notes, "tables": loaded.report,
            }
            for loaded, notes in reports
        ]  # fmt: skip
        typer.echo(json.dumps(told if len(told) > 1 else told[0], indent=2))
    else:
        for loaded, notes in reports:
            if len(reports) > 1:
                console.print(f"\n{visible(loaded.source)}")
            _print_report(loaded, notes, dry_run)
    if not all(loaded.is_balanced for loaded, _ in reports):
        raise typer.Exit(INCOMPLETE)


def _print_report(loaded: Loaded, notes: list[str], dry_run: bool) -> None:
    _print_tables(loaded.report)
    for note in notes:
        console.print(visible(note), style="yellow")
    if loaded.states_set:
        console.print(f"{loaded.states_set} vouchers got the status or the holder that their bookings say.")
    if dry_run:
        console.print("This was a dry run: nothing is changed.", style="yellow")
    if loaded.is_balanced:
        console.print("Every row of the source is there.", style="green")
    else:
        console.print("Rows were rejected, or are missing: see `portal import rejects`.", style="red")


def _print_tables(report: Report) -> None:
    Table(
        console,
        "table",
        *(name.replace("_", " ") for name in COUNTS),
        "checksum",
        numbers=(*(name.replace("_", " ") for name in COUNTS),),
    ).print(
        Row(
            (table, *(str(part[name]) for name in COUNTS), _compared(part)),
            style="red" if part["rejected"] or part["missing"] else "",
        )
        for table, part in report.items()
        if part["read"] or part["rows"]
    )
    sums = [
        Row((table, s["currency"], s["source"], s["target"], s["rounding"]))
        for table, part in report.items()
        for s in part["sums"]
    ]
    if sums:
        console.print("\nSums in minor units (cents):")
        Table(console, "table", "currency", "source", "here", "rounding", numbers=("source", "here", "rounding")).print(
            sums
        )


def _compared(part: dict[str, Any]) -> str:
    """The checksum of both sides, if it is the same."""
    source, target = part["source_checksum"], part["target_checksum"]
    return str(source) if source == target else f"{source} / {target}"
