"""What concerns one person: `portal export thinker` and `portal erase thinker`."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, TextIO

import typer

from api.cli.files import Output, cannot_write, open_output
from api.cli.owner import console, one_snapshot, owner_connection
from api.cli.texts import visible
from api.errors import ApiError, PortalError
from api.settings import load_settings

Uid = Annotated[str, typer.Argument(metavar="UID")]
Documents = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", file_okay=False, help="Copy the documents that the thinker stored into it."),
]


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


def _write(file: TextIO, uid: str, rows: Iterable[tuple[str, str, str | None]]) -> tuple[int, list[str]]:
    """Writes the rows as they come; returns their number, and the paths of the stored documents."""
    section, number, paths = "", 0, []
    file.write(f'{{\n"uid": {json.dumps(uid)},\n"exported_at": "{datetime.now(UTC).isoformat()}",\n"data": {{')
    for name, item, path in rows:
        if name == section:
            file.write(f",\n{item}")
        else:
            end = "\n]," if section else ""
            file.write(f'{end}\n"{name}": [\n{item}')
        section, number = name, number + 1
        if path is not None:
            paths.append(path)
    file.write("\n]\n}\n}\n")
    return number, paths


def _copy(paths: list[str], folder: Path) -> list[str]:
    """Copies documents of the store into a folder; returns the paths of those that are not there."""
    from api.storage import Storage  # imported late: --help does not need it

    storage = Storage(load_settings())

    async def copy() -> list[str]:
        return [path for path in paths if not await storage.copy(path, folder)]

    try:
        return asyncio.run(copy())
    except ApiError as error:
        raise PortalError(f"{error.message('en')}.") from error
    except OSError as error:
        raise cannot_write(folder, error) from error
