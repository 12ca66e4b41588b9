"""The commands `portal backup` and `portal restore`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from api.cli.owner import console, progress
from api.database import backup as backups
from api.database import open_database, require_session
from api.errors import PortalError
from api.settings import load_settings

app = typer.Typer()

File = Annotated[Path, typer.Argument(metavar="FILE")]


@app.command()
def backup(file: File) -> None:
    """Back up the database into one file.

    The file has all rows, the schema with its grants, the roles without their passwords, and the settings. It does not
    have the uploaded documents: docs/backup.md says what else to keep.

    \b
    $ portal backup portal.zip
    """
    with _database() as url, progress() as bar:
        task = bar.add_task("Backing up", total=backups.count_tables(url))
        backups.backup(url, file, lambda: bar.advance(task))
    console.print(f"{file} is written.")


@app.command()
def restore(file: File) -> None:
    """Restore a backup into an empty database.

    FILE is one of `portal backup`, or a dump of the whole database by pg_dump in any format. Restores rows, schema and
    grants in one transaction, creates the roles that are missing, and verifies the result. Trust the file: it is
    executed.

    \b
    $ DATA_DIR=.restored portal restore portal.zip
    $ DATABASE_URL=postgresql://... portal restore portal.zip
    """
    with _database() as url, progress() as bar:
        task = bar.add_task("Restoring", total=None)
        backups.restore(url, file, lambda size: bar.update(task, total=size), lambda: bar.advance(task))
    console.print(f"{file} is restored and verified.")


@contextmanager
def _database() -> Iterator[str]:
    """The database of the settings. Raises PortalError where no session of it can be had."""
    settings = load_settings()
    if settings.has_only_data_api:
        raise PortalError("The command needs a connection to the database itself: set DATABASE_URL too.")
    with open_database(settings) as url:
        require_session(url)
        yield url
