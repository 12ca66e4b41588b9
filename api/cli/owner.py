"""The connection as the schema's owner, and the console: what the operators' commands share."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import partial
from json import loads

import psycopg
from psycopg import IsolationLevel
from psycopg.types.json import set_json_loads
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from api.database import connect, migrations, open_database
from api.errors import PortalError
from api.settings import load_settings

INCOMPLETE = 3
"""The exit code where rows were rejected, or rows or documents are missing: 1 and 2 are errors of every command."""

# what the database holds is printed as it is: neither markup nor emoji nor colours by guess
console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


@contextmanager
def owner_connection() -> Iterator[psycopg.Connection]:
    """Yields a connection as the schema's owner, in autocommit mode.

    Numbers in JSON keep every digit. Raises PortalError where there is only the Data API of a project, where the
    database lacks a migration, and in place of every error of the database.
    """
    settings = load_settings()
    if settings.has_only_data_api:
        raise PortalError("The command needs a connection to the database itself: set DATABASE_URL too.")
    with open_database(settings) as url:
        if any(migration.state == "pending" for migration in migrations.status(url)):
            raise PortalError("The database is not up to date: run `portal migrate`.")
        with connect(url) as connection:
            set_json_loads(partial(loads, parse_float=Decimal), connection)
            try:
                yield connection
            except psycopg.Error as error:
                raise PortalError(_sentence(error)) from error


@contextmanager
def operator_transaction(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction in which the books name the user of the system as the operator (private.operator_name)."""
    with patient_transaction(connection):
        connection.execute("select set_config('portal.operator', %s, true)", (_system_user(),))
        yield


@contextmanager
def patient_transaction(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction that no timeout of the owner's role ends, such as the two minutes of a Supabase project."""
    with connection.transaction():
        # for this transaction only: behind a transaction pooler the next one may have another connection
        connection.execute("set local statement_timeout = 0")
        yield


@contextmanager
def one_snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """A read-only transaction in the portal's time zone, whose queries all see the same state of the database."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        # for this transaction only: behind a transaction pooler the next one may have another connection
        connection.execute("select set_config('TimeZone', s.time_zone, true) from private.settings s")
        yield


def progress(*more: ProgressColumn) -> Progress:
    """A progress bar on standard error, with more columns; invisible where that is not a terminal."""
    terminal = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *more,
    )
    return Progress(
        *columns,
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
        # a redirected standard output would be printed on the terminal
        redirect_stdout=False,
    )


def _system_user() -> str:
    """The name of the user who runs the command; empty where the system has none, as in some containers."""
    name = ""
    with suppress(OSError, KeyError, ImportError):
        name = getpass.getuser()
    return name.encode(errors="replace").decode()


def _sentence(error: psycopg.Error) -> str:
    """What the database refuses in the API's words; any other error in the database's own words."""
    from api.gateway import api_error  # imported late: --help does not need it

    message, detail = error.diag.message_primary or "", error.diag.message_detail or ""
    refusal = api_error(error.sqlstate, message, detail) if error.sqlstate and error.sqlstate.startswith("PT") else None
    if refusal is not None:
        return f"{refusal.message('en')}."
    return " ".join(f"{message or error} {error.diag.message_hint or ''}".split())
