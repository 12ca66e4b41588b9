"""The commands `portal export`: move out."""

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from api.cli import persons
from api.cli.owner import INCOMPLETE, console, owner_connection, progress
from api.cli.tables import Row, Table
from api.cli.texts import visible_line
from api.exports.manifest import Format
from api.settings import load_settings


class _FolderOrCommand(TyperGroup):
    """Commands of which the first one, `to`, may be left out: a first word that is no command is its folder."""

    # typer has a class for the context of its own, which this is
    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["to", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_FolderOrCommand,
    no_args_is_help=True,
    help="Move out. `portal export FOLDER` is short for `portal export to FOLDER`. docs/export.md says how.",
)


@app.command()
def to(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", file_okay=False)],
    format: Annotated[Format, typer.Option(help="The format of the files.")] = Format.JSONL,  # noqa: A002
) -> None:
    """Write every table and document into a new folder.

    One file for each table, and manifest.json with the numbers of rows, sums of amounts and checksums, by which
    `portal import export` fills an empty database and verifies it. The portal serves on meanwhile. The files hold
    everything; only you can read them. The exit code is 3 if a stored document is missing.

    \b
    $ portal export moved
    $ portal export moved --format csv
    $ portal export ./thinker            a folder that is named like a command
    """
    # imported late: other commands do not need them
    from api.exports.writing import write_export
    from api.storage import Storage

    settings = load_settings()
    with owner_connection() as connection, progress() as bar:
        task = bar.add_task("Exporting", total=None)
        manifest = write_export(
            connection, Storage(settings), folder, format, lambda done, of: bar.update(task, completed=done, total=of)
        )
    Table(console, "table", "rows", "bytes", numbers=("rows", "bytes")).print(
        Row((name, str(table.totals.rows), str(table.bytes))) for name, table in manifest.tables.items()
    )
    console.print(f"{folder} is written, with {manifest.documents.count} documents.", style="green")
    if manifest.documents.missing:
        for name in manifest.documents.missing:
            console.print(
                f"The document {visible_line(name)} is missing in the store, or has another hash.", style="red"
            )
        raise typer.Exit(INCOMPLETE)


app.command("thinker")(persons.export_thinker)
