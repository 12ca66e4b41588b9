"""Opens the database: the one at DATABASE_URL, or the embedded one with its data in DATA_DIR."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg

from api.database.embedded import run_embedded
from api.errors import PortalError
from api.settings import Settings


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """Yield the URL of the database.

    Without DATABASE_URL this starts the embedded server, or uses the one that another process has started; the last
    process to leave stops it. Raises PortalError if the server does not start.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    with run_embedded(settings.data_dir) as url:
        yield url


def connect(url: str) -> psycopg.Connection:
    """A connection in autocommit mode with client encoding UTF-8. Raises PortalError if it cannot be made."""
    try:
        # a prepared statement would be missing on the next connection behind a transaction pooler
        return psycopg.connect(url, autocommit=True, prepare_threshold=None, client_encoding="utf8", connect_timeout=10)
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise PortalError(f"The database cannot be reached ({reason}): check DATABASE_URL.") from error


def require_session(url: str) -> None:
    """Raises PortalError where the URL leads through a transaction pooler, whose clients share connections."""
    if not has_sessions(url):
        raise PortalError(
            "The command needs a session of its own, and DATABASE_URL leads through a transaction pooler: use "
            "the direct connection or a session pooler (port 5432 on Supabase)."
        )


def has_sessions(url: str) -> bool:
    """Whether each connection has a session of its own. Raises PortalError where the database cannot be reached."""
    with connect(url) as connection, connect(url) as other:
        # more than once, for a busy pooler may give a client the connection back that it had before
        return all(_keeps_its_session(connection, other) for _ in range(10))


def _keeps_its_session(connection: psycopg.Connection, other: psycopg.Connection) -> bool:
    name = str(uuid4())
    connection.execute("select set_config('portal.session', %s, false)", [name])
    with other.transaction():
        # while the other one keeps a connection, a pooler answers from a third one
        return _session(other) != name and _session(connection) == name


def _session(connection: psycopg.Connection) -> str | None:
    row = connection.execute("select current_setting('portal.session', true)").fetchone()
    assert row
    name: str | None = row[0]
    return name
