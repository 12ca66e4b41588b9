"""Opens the database: the one at DATABASE_URL, or the embedded one with its data in DATA_DIR."""

from collections.abc import Iterator
from contextlib import contextmanager

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
        return psycopg.connect(url, autocommit=True, client_encoding="utf8", connect_timeout=10)
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise PortalError(f"The database cannot be reached ({reason}): check DATABASE_URL.") from error
