"""What concerns one person: `portal export thinker` and `portal erase thinker`."""

import asyncio
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, TextIO

import psycopg
import typer
from psycopg.rows import class_row

from api.cli.files import Output, cannot_write, open_output
from api.cli.owner import console, one_snapshot, operator_transaction, owner_connection
from api.cli.tables import Row, Table
from api.cli.texts import visible
from api.errors import PortalError
from api.settings import load_settings

Uid = Annotated[str, typer.Argument(metavar="UID")]
Documents = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", file_okay=False, help="Copy the documents that the thinker stored into it."),
]


FATES = ("deleted", "emptied", "pseudonym")
"""What becomes of rows."""

erasing = typer.Typer(no_args_is_help=True, help="Erase a person.")


@dataclass(frozen=True)
class Erased:
    """What private.erase_thinker did: the pseudonym, the stored documents to delete, and by table the fates of rows."""

    pseudonym: str
    documents: list[str]
    rows: dict[str, dict[str, int]]


def export_thinker(uid: Uid, output: Output = None, documents: Documents = None) -> None:
    """Write what is stored about a thinker, for the thinker (GDPR, article 15).

    One JSON document with a list of rows for each table. Others appear in it as the portal shows them to the thinker.
    docs/privacy.md says what is in it, and what is left out. Nothing is changed.

    \b
    $ portal export thinker thinker-0123456789ab --output data.json --documents documents
    """
    with owner_connection() as connection, one_snapshot(connection), connection.cursor("thinker_data") as cursor:
        cursor.execute(
            "select section, item::text, case section when 'contracts' then item ->> 'storage_url' end"
            " from private.thinker_data(%s)",
            (uid,),
        )
        if (first := cursor.fetchone()) is None:
            raise PortalError(f"Nothing is stored about {visible(uid)}.")
        with open_output(output) as file:
            rows, paths = _write(file, uid, chain([first], cursor))
    missing = [] if documents is None else _copy(paths, documents)
    if output is not None:
        console.print(f"{output} is written: {rows} rows.")
    if missing:
        raise PortalError(f"Not in the store of documents: {', '.join(missing)}.")


@erasing.command("thinker")
def erase_thinker(
    uid: Uid,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person: delete what may go, and keep accounts under a pseudonym.

    Refused while bookings, offers, contracts in draft, debts or valid tokens are left; the message lists them.
    docs/privacy.md says what becomes of each column, and what else to erase. It cannot be taken back.

    \b
    $ portal erase thinker thinker-0123456789ab --dry-run
    $ portal erase thinker thinker-0123456789ab
    """
    with owner_connection() as connection:
        if not yes:
            with connection.transaction(force_rollback=True):
                erased = _erase(connection, uid)
            _print(erased)  # after the end of its locks
            if dry_run:
                console.print("Nothing was erased: this was a dry run.")
                return
            if not sys.stdin.isatty():
                raise PortalError("Nothing was erased: add --yes.")
            typer.confirm(f"Erase {visible(uid)}? It cannot be taken back", abort=True)
        deleted = _erase_documents(connection, uid)
        with operator_transaction(connection):
            erased = _erase(connection, uid)
            # those that came since
            _delete(erased.documents)
    if yes:
        if deleted:
            documents = erased.rows.setdefault("contracts", {})
            documents["deleted"] = documents.get("deleted", 0) + deleted
        _print(erased)
    console.print(f"{visible(uid)} is erased. The accounts name {erased.pseudonym}.")


def _erase(connection: psycopg.Connection, uid: str) -> Erased:
    with connection.cursor(row_factory=class_row(Erased)) as cursor:
        erased = cursor.execute(
            "select e.* from jsonb_to_record(private.erase_thinker(%s))"
            " as e (pseudonym text, documents text[], rows jsonb)",
            (uid,),
        ).fetchone()
    assert erased
    return erased


def _erase_documents(connection: psycopg.Connection, uid: str) -> int:
    """Deletes the documents that nobody else needs, before what others use is locked; returns their number."""
    deleted = 0
    while True:
        with operator_transaction(connection):
            row = connection.execute("select private.erase_documents(%s)", (uid,)).fetchone()
            assert row
            # before the end of the transaction: after an interruption the same command deletes the rest
            _delete(row[0])
        if not row[0]:
            return deleted
        deleted += len(row[0])


def _print(erased: Erased) -> None:
    """Prints what became of the rows of each table."""
    Table(console, "table", *FATES, numbers=set(FATES)).print(
        Row((table, *(str(counts.get(fate, "")) for fate in FATES))) for table, counts in sorted(erased.rows.items())
    )


def _delete(paths: list[str]) -> None:
    """Deletes documents from the store."""
    if not paths:
        return
    from api.storage import Storage  # imported late: --help does not need it

    storage = Storage(load_settings())

    at_once = asyncio.Semaphore(20)

    async def delete(path: str) -> None:
        async with at_once:
            await storage.delete(path)

    async def delete_all() -> None:
        await asyncio.gather(*map(delete, paths))

    asyncio.run(delete_all())


def _write(file: TextIO, uid: str, rows: Iterable[tuple[str, str, str | None]]) -> tuple[int, list[str]]:
    """Writes the rows as they come; returns their number, and the paths of the stored documents."""
    section, number, paths = "", 0, []
    file.write(f'{{\n"uid": {json.dumps(uid)},\n"exported_at": "{datetime.now(UTC).isoformat()}",\n"data": {{')
    for name, item, path in rows:
        row = _escaped(item)
        if name == section:
            file.write(f",\n{row}")
        else:
            end = "\n]," if section else ""
            file.write(f'{end}\n"{name}": [\n{row}')
        section, number = name, number + 1
        if path is not None:
            paths.append(path)
    file.write("\n]\n}\n}\n")
    return number, paths


def _escaped(item: str) -> str:
    """Returns JSON without the characters that a terminal obeys: they stand in texts only, as \\uXXXX."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in item)


def _copy(paths: list[str], folder: Path) -> list[str]:
    """Copies documents of the store into a folder; returns the paths of those that are not there."""
    from api.storage import LONGEST_NAME, Storage  # imported late: --help does not need them

    storage = Storage(load_settings())

    async def is_copied(path: str) -> bool:
        # another store may have longer names than this disk
        file = folder.joinpath(*(name.encode()[-LONGEST_NAME:].decode(errors="ignore") for name in path.split("/")))
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return await storage.copy(path, file) is not None

    async def copy() -> list[str]:
        return [path for path in paths if not await is_copied(path)]

    try:
        return asyncio.run(copy())
    except OSError as error:
        raise cannot_write(folder, error) from error
