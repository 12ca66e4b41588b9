"""Reads a Cloudflare D1 database: a SQLite file, or the SQL dump that `wrangler d1 export` writes."""

import hashlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from api.errors import PortalError
from api.imports.source import TABLES

_MAGIC = b"SQLite format 3\0"

_PART = 2**20
"""The characters of a dump that are executed at once, if a statement ends there."""

_STATEMENT = 2**26
"""The characters of the longest statement of a dump; D1's own limit is far lower."""

_ROW = 2**22
"""The bytes of the longest value and the longest stored row; D1's own limit is 2 MB."""

_COLUMNS = 100
"""The columns of a table, as many as D1 allows."""

_GROWTH = 8
"""How many times as large as a file its rows, or the database of a dump, may be; and 4 MiB more."""

_GENERATED = (2, 3)
"""What SQLite calls hidden: generated columns, virtual and stored ones."""

_VIRTUAL = """
    select 1 from sqlite_master
    where sql not glob 'CREATE TABLE *' and sql not glob 'CREATE INDEX *' and sql not glob 'CREATE UNIQUE INDEX *'
      and sql not glob 'CREATE VIEW *' and sql not glob 'CREATE TRIGGER *'
    limit 1
"""
"""Finds what is not stored, whose modules would parse what a file says: SQLite itself writes all else so."""

_LEAST = 4
"""The bytes of a file that the smallest row takes."""

_SECONDS = 300
"""How long a statement of a dump, or the opening of a file, may take."""

_STEPS = 1000
"""After how many steps of SQLite a statement is looked at, and Ctrl-C and SIGTERM are noticed."""

_ALLOWED = {
    sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_REINDEX,
}  # fmt: skip
"""What a dump may do in its own, temporary database."""

_ALLOWED_WITHIN = {"sqlite_master", "sqlite_sequence"}
"""SQLite's own tables, of which a dump may also update and delete rows: `create table` does it, and wrangler."""

_IGNORED = {sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_ANALYZE}
"""What it may ask for, without an effect: wrangler writes `PRAGMA defer_foreign_keys`."""

_FUNCTIONS = {"replace", "char", "unistr", "unistr_quote"}
"""With which SQLite writes line breaks and control characters."""

_PATTERN = 16
"""The characters of the longest text that `replace` replaces; SQLite writes marks like `\\n`."""


_NUL = "\ufdd0"
"""Stands for a NUL character of a dump, which no statement can have; Unicode keeps it for such uses."""


class D1:
    """The rows of a D1 database, all of the same moment."""

    name = "d1"

    def __init__(self, database: sqlite3.Connection, file: Path) -> None:
        """Takes a connection to the database, and the file that the owner named."""
        self._database = database
        self._tables = {
            name for (name,) in database.execute("select name from sqlite_master where type = 'table'").fetchall()
        }
        if database.execute(_VIRTUAL).fetchone() is not None:
            raise PortalError(f"{file} has virtual tables: D1's exports have stored ones only.")
        if not self._tables.intersection(TABLES):
            raise PortalError(f"{file} has none of the portal's tables.")
        for table in sorted(self._tables.intersection(TABLES)):
            if self._computes(table):
                raise PortalError(f"{file} computes columns of {table}: D1's own files store them.")
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        self.input: Mapping[str, object] = {"name": file.name, "bytes": file.stat().st_size, "sha256": digest}
        self._file = file
        self._left = _most(file)
        self._counts = self._count()

    @property
    def unknown_tables(self) -> dict[str, int]:
        """The tables with rows that are not imported, and the number of their rows."""
        return {name: number for name, number in self._counts.items() if number and name not in TABLES}

    def count(self, table: str) -> int:
        """The number of rows of a table; 0 where the database does not have it."""
        return self._counts.get(table, 0)

    def rows(self, table: str) -> Iterator[dict[str, object]]:
        """The rows of a table in the order in which they were written, with all of its columns.

        Raises PortalError where the rows of all tables are much larger than the file.
        """
        if table not in self._tables:
            return
        # as the table is stored, by its rowid; an order by what a file may call rowid would be sorted first
        query = f"select * from {_quoted(table)} not indexed"  # noqa: S608
        with closing(self._database.execute(query)) as cursor:
            names = [column[0] for column in cursor.description]
            # rejects have the names, too
            size_of_names = sum(map(len, names))
            for row in cursor:
                self._left -= 1 + size_of_names + sum(len(value) for value in row if isinstance(value, (str, bytes)))
                if self._left < 0:
                    raise PortalError(f"The rows of {self._file} are more than {_GROWTH} times as large as the file.")
                yield dict(zip(names, row, strict=True))

    def _computes(self, table: str) -> bool:
        """Whether a table has generated columns: a few bytes of a file would be rows of hundreds of megabytes."""
        # no pragma function: a view of the file may have its name
        columns = self._database.execute(f"pragma table_xinfo({_quoted(table)})")
        return any(hidden in _GENERATED for *_, hidden in columns)

    def _count(self) -> dict[str, int]:
        """The number of rows of each table, but for those of SQLite and Cloudflare themselves.

        Raises PortalError where they are more than fit into the file: its pages refer to one another again and again.
        """
        [pages], [page] = (self._database.execute(f"pragma page_{of}").fetchone() for of in ("count", "size"))
        left = pages * page // _LEAST
        counts: dict[str, int] = {}
        for name in sorted(self._tables):
            if not name.startswith(("sqlite_", "_cf_")):
                # row by row: a plain count(*) is one step, which nothing ends
                query = f"select count(*) from (select 1 from {_quoted(name)} not indexed limit ?)"  # noqa: S608
                counts[name] = self._database.execute(query, (left + 1,)).fetchone()[0]
                left -= counts[name]
                if left < 0:
                    raise PortalError(f"{self._file} is damaged: it has more rows than fit into it.")
        return counts


@contextmanager
def open_d1(file: Path) -> Iterator[D1]:
    """Yields the database of a SQLite file or of a dump.

    Neither is trusted: the file is only read, and the statements of a dump make and fill tables of a temporary
    database.
    Raises PortalError where it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            is_database = opened.read(len(_MAGIC)) == _MAGIC
        with tempfile.TemporaryDirectory(prefix="portal-import-") as folder:
            has_nul = not is_database and _execute(file, Path(folder) / "dump.sqlite")
            path = file if is_database else Path(folder) / "dump.sqlite"
            uri = f"{path.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
                _limit(database)
                started = time.monotonic()
                database.set_progress_handler(lambda: time.monotonic() - started > _SECONDS, _STEPS)
                # bytes that are no UTF-8 stay, as characters of their own
                database.text_factory = (
                    _with_nul if has_nul else partial(str, encoding="utf-8", errors="surrogateescape")
                )
                database.execute("pragma trusted_schema = off")
                database.execute("pragma query_only = on")
                # one moment for all tables, while a server writes
                database.execute("begin")
                source = D1(database, file)
                # an import may take long
                database.set_progress_handler(lambda: 0, _STEPS)
                yield source
    except OSError as error:
        raise PortalError(f"Cannot read {file} ({error.strerror}).") from error
    except sqlite3.Error as error:
        # one line: the message may quote the file
        raise PortalError(f"Cannot read {file} ({' '.join(str(error).split())}).") from error
    except UnicodeError as error:
        raise PortalError(f"{file} is neither a SQLite database nor a dump of one: it is no UTF-8.") from error


def _execute(dump: Path, path: Path) -> bool:
    """Executes a dump in parts, so that its size does not matter; returns whether it has a NUL character.

    Raises PortalError where it is no dump.
    """
    has_nul = False
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        _limit(database)
        # a dump has every value as a text, and an index at most once more
        pages = _most(dump) // 4096
        for setting in (
            "journal_mode = off", "synchronous = off", "trusted_schema = off", "foreign_keys = off",
            f"max_page_count = {pages}",
        ):  # fmt: skip
            database.execute(f"pragma {setting}")
        database.create_function("replace", 3, _replace, deterministic=True)
        database.set_authorizer(_Authorizer())
        started = time.monotonic()
        database.set_progress_handler(lambda: time.monotonic() - started > _SECONDS, _STEPS)
        part, size, next_try = [], 0, _PART
        with dump.open(encoding="utf-8", newline="\n") as lines:
            # no line is too long: a part of one has no end
            while line := lines.readline(_PART):
                has_nul |= "\0" in line
                part.append(line.replace("\0", _NUL))
                size += len(line)
                # in growing steps: the whole part is read again each time
                if size >= next_try and line.endswith("\n") and line.rstrip().endswith(";"):
                    text = "".join(part)
                    if sqlite3.complete_statement(text):
                        started = time.monotonic()
                        database.executescript(text)
                        part, size, next_try = [], 0, _PART
                    else:
                        next_try = size + size // 4
                if size > _STATEMENT:
                    raise PortalError(f"{dump} has a statement of more than {_STATEMENT // 2**20} MiB.")
        started = time.monotonic()
        database.executescript("".join(part))
        if database.in_transaction:
            database.execute("commit")
    return has_nul


def _with_nul(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape").replace(_NUL, "\0")


def _replace(text: str | None, old: str | None, new: str | None) -> str | None:
    """As SQLite's own, which compares for minutes in one step where the old text is long. Raises ValueError."""
    if text is None or old is None or new is None:
        return None
    if len(old) > _PATTERN or len(text) + text.count(old) * (len(new) - len(old)) > _ROW:
        raise ValueError("too long")
    return text.replace(old, new) if old else text


def _most(file: Path) -> int:
    """The bytes that the content of a file may have; of a database that is in use a part is beside it."""
    log = file.with_name(f"{file.name}-wal")
    return _GROWTH * (file.stat().st_size + (log.stat().st_size if log.is_file() else 0)) + 2**22


def _limit(database: sqlite3.Connection) -> None:
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _ROW)
    database.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, _COLUMNS)


class _Authorizer:
    """Lets a dump make tables and indexes, and insert values: no statement reads, changes or deletes rows."""

    def __init__(self) -> None:
        self._selects = False

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in _IGNORED:
            return sqlite3.SQLITE_IGNORE
        # every statement that makes something begins with an insertion, if only into sqlite_master
        if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_SELECT):
            self._selects = action == sqlite3.SQLITE_SELECT
        is_allowed = (
            action in _ALLOWED
            or (action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS)
            or (action in (sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE) and first in _ALLOWED_WITHIN)
            # checks, generated columns and partial indexes read their own columns
            or (action == sqlite3.SQLITE_READ and not self._selects)
        )
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
