"""What the commands for operators share."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from rich.console import Console

from api.database import connect, migrations, open_database
from api.errors import PortalError
from api.settings import load_settings

console = Console()


@contextmanager
def operate() -> Iterator[psycopg.Connection]:
    """Yields a connection as the schema's owner, who may do everything; in autocommit mode.

    Raises PortalError where there is only the Data API of a project, and where the database lacks a migration.
    """
    settings = load_settings()
    if settings.has_only_data_api:
        raise PortalError("SUPABASE_URL says where to ask: set DATABASE_URL too.")
    with open_database(settings) as url:
        if any(migration.state == "pending" for migration in migrations.status(url)):
            raise PortalError("The database is not up to date: run `portal migrate`.")
        with connect(url) as connection:
            yield connection
