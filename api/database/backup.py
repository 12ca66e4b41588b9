"""Backs up the portal's schemas into one file, and restores a dump into an empty database.

A backup is a zip file: `database.dump` of pg_dump, `roles.sql` with the roles that its grants name and the settings of
the database, and `rows.json` with the number of rows of each table.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, LiteralString

import psycopg
from psycopg import sql

from api.database import connect, migrations
from api.database.programs import find_programs, running
from api.database.references import dangling_references
from api.database.rules import differences
from api.errors import PortalError
from api.settings import ROOT

SCHEMAS = ("public", "private", "stats", "supabase_migrations")

Step = Callable[[], None]
"""Is called for each table that is backed up, or each object that is restored."""

_DUMP, _ROLES, _ROWS = "database.dump", "roles.sql", "rows.json"

# the header of an object, or of a table's rows, in the text of a dump
_HEADER = re.compile(rb"-- (?:Data for )?Name: (.*); Type: ([A-Z ]+); Schema: ([^;]+); Owner: ")
# the user that restores becomes the owner of everything
_OWNER = re.compile(rb"(ALTER .* OWNER TO|SET SESSION AUTHORIZATION) .*;\n|RESET SESSION AUTHORIZATION;\n")
_END = b"-- PostgreSQL database dump complete\n"

_TABLES = """
    select format('%%I.%%I', relnamespace::regnamespace::text, relname) from pg_class
    where relnamespace::regnamespace::text = any (%s) and relkind = 'r'
      -- a replica has no rows of unlogged tables, such as the counts for rate limits
      and relpersistence = 'p'
    order by 1
"""

# such as btree_gist, whose operators an index uses
_EXTENSIONS = """
    select distinct e.extname
    from pg_depend own
    join pg_depend of on (of.classid, of.objid, of.deptype) = (own.refclassid, own.refobjid, 'e')
    join pg_extension e on e.oid = of.refobjid
    where (own.classid, own.objid) in (
      select 'pg_class'::regclass, c.oid from pg_class c where c.relnamespace::regnamespace::text = any (%(schemas)s)
      union all
      select 'pg_proc'::regclass, p.oid from pg_proc p where p.pronamespace::regnamespace::text = any (%(schemas)s)
    )
    and e.extname <> 'plpgsql'
"""

# a role that exists in the target stays as it is; passwords cannot be read
_ROLES_QUERY = """
    with named as (
      select r.*
      from pg_roles r
      where not r.rolsuper and r.rolname !~ '^pg_' and (
        r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator', 'stats_reader')
        or r.oid in (
          select d.refobjid from pg_shdepend d
          where d.refclassid = 'pg_authid'::regclass and d.deptype in ('a', 'r')
            and d.dbid = (select b.oid from pg_database b where b.datname = current_database())
        )
      )
    ),
    setting as (
      select s.setrole, s.setdatabase, split_part(line, '=', 1) as name,
        substr(line, strpos(line, '=') + 1) as value
      from pg_db_role_setting s cross join unnest(s.setconfig) as line
      where s.setdatabase in (0, (select b.oid from pg_database b where b.datname = current_database()))
    ),
    quoted as (
      select setrole, setdatabase,
        format(
          'set %I to %s', name,
          -- these are lists with quotes of their own
          case when name in ('search_path', 'temp_tablespaces') then value else quote_literal(value) end
        ) as assignment
      from setting
      -- settings with a point are those of extensions and of the host
      where name !~ '[.]' and name <> 'default_transaction_read_only' or setrole <> 0
    )
    select format(
      'do $role$ begin if not exists (select from pg_roles where rolname = %L) then create role %I %s; %s end if; '
        'end $role$;',
      n.rolname, n.rolname,
      concat_ws(' ',
        case when n.rolcanlogin then 'login' else 'nologin' end,
        case when n.rolinherit then 'inherit' else 'noinherit' end,
        case when n.rolbypassrls then 'bypassrls' end,
        'connection limit ' || n.rolconnlimit
      ),
      (
        select string_agg(
          case setdatabase
            when 0 then format('alter role %I %s;', n.rolname, q.assignment)
            else format(
              'execute format(%L, current_database());',
              replace(format('alter role %I in database ', n.rolname), '%', '%%') || '%I '
                || replace(q.assignment, '%', '%%')
            )
          end,
          ' '
        )
        from quoted q where setrole = n.oid
      )
    )
    from named n
    union all
    select format('grant %I to %I;', a.rolname, b.rolname)
    from pg_auth_members m join named a on a.oid = m.roleid join named b on b.oid = m.member
    union all
    select format(
      'do $set$ begin execute format(%L, current_database()); end $set$;',
      'alter database %I ' || replace(assignment, '%', '%%')
    )
    from quoted where setrole = 0 and setdatabase <> 0
"""


def count_tables(url: str) -> int:
    """How many tables a backup has."""
    with connect(url) as connection:
        return len(connection.execute(_TABLES, (list(SCHEMAS),)).fetchall())


def backup(url: str, file: Path, step: Step) -> None:
    """Writes a backup of the database.

    Raises PortalError where the database has no migration, the file exists or cannot be written, and where pg_dump is
    missing or fails.
    """
    if all(migration.state == "pending" for migration in migrations.status(url)):
        raise PortalError(
            "The database has nothing of the portal: check DATABASE_URL, or DATA_DIR and the current folder."
        )
    if file.exists():
        raise PortalError(f"{file} exists: name another file.")
    part = file.with_name(f"{file.name}.part")
    try:
        # readable by its owner only: it holds everything
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            _write_backup(url, target, step)
        part.rename(file)
    except OSError as error:
        raise PortalError(f"Cannot write {file} ({error.strerror}).") from error
    finally:
        part.unlink(missing_ok=True)


def restore(url: str, file: Path, on_size: Callable[[int], None], step: Step) -> None:
    """Restores a backup, or a dump of pg_dump in any format, into an empty database, and verifies it.

    Only the portal's schemas are restored. Missing roles are created first; the rest is one transaction. Migrations
    that the dump lacks are applied. `on_size` gets the number of objects. Raises PortalError where the database is not
    empty, where the file is no complete dump of the portal or a program fails, and where rules, references or numbers
    of rows are not as they must be.
    """
    with _opened(file) as dump:
        with connect(url) as connection:
            _refuse_used_database(connection)
            version = connection.info.server_version // 10000
            programs = _programs_for(dump, version)
            on_size(_count_objects(dump, programs))
            _make_roles(connection, dump.roles)
            _revoke_default_privileges(connection)
            extensions = _harmless_extensions(connection)
        arguments = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
        psql = programs / "psql"
        with (
            _text(dump, programs) as lines,
            running(psql, *arguments, url=url, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process,
        ):
            assert process.stdin
            process.stdin.writelines(_portal_lines(lines, version, extensions, step))
        with connect(url) as connection:
            lost = [
                f"{table}: {_count(connection, table)} rows instead of {rows}"
                for table, rows in dump.rows.items()
                if _count(connection, table) != rows
            ]
    migrations.migrate(url)
    with connect(url) as connection:
        connection.execute("select private.follow_new_users()")
        connection.execute("select private.open_bucket()")
        connection.execute("select private.install_jobs()")
        connection.execute("analyze")
        wrong = [
            *lost,
            *(f"{name}: {number} dangling rows" for name, number in dangling_references(connection).items()),
            *map(str, differences(connection)),
        ]
    if wrong:
        raise PortalError(
            f"{file} is restored, but not as it must be ({len(wrong)} differences, the first is "
            f"`{wrong[0]}`): `portal check` lists more."
        )


@dataclass(frozen=True)
class _Dump:
    """A dump of pg_dump: an archive for pg_restore, or text for psql; and what a backup says besides."""

    path: Path
    is_text: bool
    roles: str = ""
    rows: dict[str, int] = field(default_factory=dict)


def _write_backup(url: str, target: IO[bytes], step: Step) -> None:
    def advance(message: bytes) -> None:
        if b"dumping contents of table" in message:
            step()

    with connect(url) as connection, connection.transaction(), zipfile.ZipFile(target, "w") as archive:
        connection.execute("set transaction isolation level repeatable read, read only")
        # pg_dump reads the same state of the database as the queries here
        snapshot = _one(connection, "select pg_export_snapshot()")
        archive.writestr(_ROLES, "\n".join(line for (line,) in connection.execute(_ROLES_QUERY)))
        tables = [table for (table,) in connection.execute(_TABLES, (list(SCHEMAS),))]
        archive.writestr(_ROWS, json.dumps({table: _count(connection, table) for table in tables}, indent=1))
        pg_dump = find_programs(connection.info.server_version // 10000)[0] / "pg_dump"
        schemas = [f"--schema={schema}" for schema in SCHEMAS]
        found = connection.execute(_EXTENSIONS, {"schemas": list(SCHEMAS)})
        extensions = [f"--extension={name}" for (name,) in found]
        options = ["--format=custom", "--no-owner", "--no-unlogged-table-data", "--verbose", f"--snapshot={snapshot}"]
        with (
            archive.open(_DUMP, "w", force_zip64=True) as entry,
            running(pg_dump, *options, *schemas, *extensions, url=url, on_message=advance) as process,
        ):
            assert process.stdout
            shutil.copyfileobj(process.stdout, entry, 1 << 20)


@contextmanager
def _opened(file: Path) -> Iterator[_Dump]:
    """The dump in a file or, in pg_dump's format `directory`, in a folder."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive, tempfile.TemporaryDirectory() as folder:
                path = Path(archive.extract(_DUMP, folder))
                yield _Dump(path, False, archive.read(_ROLES).decode(), json.loads(archive.read(_ROWS)))
        elif (file / "toc.dat").exists() or (file.is_file() and tarfile.is_tarfile(file)):
            yield _Dump(file, False)
        else:
            with file.open("rb") as content:
                start = content.read(1000)
            if not start.startswith(b"PGDMP") and b"-- PostgreSQL database dump\n" not in start:
                raise PortalError(f"{file} is no dump of one database by `portal backup` or pg_dump.")
            yield _Dump(file, not start.startswith(b"PGDMP"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise PortalError(f"Cannot read {file} ({error}).") from error


def _programs_for(dump: _Dump, version: int) -> Path:
    """The folder of programs for a server of this version that can read the dump."""
    found = find_programs(version)
    for folder in found[:-1]:
        command: list[str | Path] = [folder / "pg_restore", "--list", dump.path]
        if dump.is_text or subprocess.run(command, capture_output=True, check=False).returncode == 0:  # noqa: S603
            return folder
    return found[-1]


@contextmanager
def _text(dump: _Dump, programs: Path) -> Iterator[Iterable[bytes]]:
    """The lines of the dump as SQL."""
    if dump.is_text:
        with dump.path.open("rb") as lines:
            yield lines
        return
    with running(programs / "pg_restore", "--no-owner", "--file=-", dump.path) as process:
        assert process.stdout
        yield process.stdout


def _count_objects(dump: _Dump, programs: Path) -> int:
    """The number of objects. Raises PortalError for a dump of rows only, without rows, or without its end."""
    with _text(dump, programs) as lines:
        headers = [header for line, is_row in _read(lines) if not is_row and (header := _HEADER.match(line))]
    if not any(header[1] == b"private" and header[2] == b"SCHEMA" for header in headers):
        raise PortalError("The dump has no schema `private`: dump the whole database, without --data-only.")
    if not any(header[2] == b"TABLE DATA" for header in headers):
        raise PortalError("The dump has no rows: dump the whole database, without --schema-only.")
    return len(headers)


def _read(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The lines of a dump, each with whether it is part of a row, which may look like anything else.

    Raises PortalError at the end of a dump that was cut off.
    """
    is_copy = is_insert = is_complete = False
    quotes = 0
    for line in lines:
        if is_copy:
            yield line, True
            is_copy = line != b"\\.\n"
        elif is_insert or line.startswith(b"INSERT INTO "):
            yield line, True
            quotes += line.count(b"'")
            is_insert = quotes % 2 == 1 or not line.endswith(b";\n")
        else:
            yield line, False
            is_copy = line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n")
            if line not in (b"\n", b"--\n") and not line.startswith(b"\\unrestrict "):
                is_complete = line == _END
    if not is_complete:
        raise PortalError("The dump was cut off: its end is missing.")


def _portal_lines(lines: Iterable[bytes], version: int, extensions: set[bytes], step: Step) -> Iterator[bytes]:
    """Those lines of a dump that make the portal's schemas, in a form that a server of this version understands.

    Only the last line commits, for psql takes the end of a killed process for the end of the dump.
    """
    is_ours: bool | None = None
    yield b"begin;\n"
    for line, is_row in _read(lines):
        if is_row:
            is_wanted = bool(is_ours)
        elif line.startswith((b"\\restrict ", b"\\unrestrict ")):
            is_wanted = True
        elif _OWNER.fullmatch(line) or (version < 17 and line == b"SET transaction_timeout = 0;\n"):
            is_wanted = False
        else:
            if header := _HEADER.match(line):
                step()
                name, kind, schema = header.groups()
                is_ours = name in extensions if kind == b"EXTENSION" else _is_ours(name, kind, schema)
            # before the first object, pg_dump --clean drops what an empty database does not have
            is_wanted = line.startswith((b"SET ", b"SELECT ")) if is_ours is None else is_ours
        if is_wanted:
            yield line
    yield b"commit;\n"


def _is_ours(name: bytes, kind: bytes, schema: bytes) -> bool:
    """Whether an object is the portal's. The schema public and its default privileges are the database's own."""
    ours = [schema.encode() for schema in SCHEMAS]
    if schema == b"-":
        # in quotation marks with --quote-all-identifiers
        schema = name.removeprefix(b"SCHEMA ").strip(b'"')
        return kind in (b"SCHEMA", b"ACL", b"COMMENT") and schema in ours[1:]
    return schema in ours and kind not in (b"DEFAULT ACL", b"PUBLICATION TABLE")


def _harmless_extensions(connection: psycopg.Connection) -> set[bytes]:
    """Extensions that the server has and everybody may install. Others, such as pg_cron, are the host's."""
    rows = connection.execute("select name from pg_available_extension_versions where trusted").fetchall()
    return {name.encode() for (name,) in rows}


def _refuse_used_database(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "select nspname from pg_namespace where nspname = any (%s)"
        " union all (select relname from pg_class where relnamespace = 'public'::regnamespace limit 1)",
        (list(SCHEMAS[1:]),),
    ).fetchall()
    if found:
        names = ", ".join(name for (name,) in found)
        raise PortalError(f"The database is not empty (it has {names}): restore into a new one, or set DATA_DIR.")


def _make_roles(connection: psycopg.Connection, roles: str) -> None:
    """Creates the roles that are missing: those of the backup, then those of the schema; and sets their timeouts."""
    try:
        connection.execute(roles.encode() or b"select")
    except psycopg.Error as error:
        raise PortalError(f"The roles cannot be created: {error.diag.message_primary}") from error
    migrations.apply_platform(connection)
    for file in ("75_stats/stats_reader.sql", "10_core/timeouts.sql"):
        migrations.run_file(connection, ROOT / "sql" / file)


def _revoke_default_privileges(connection: psycopg.Connection) -> None:
    """Takes back what new objects would grant by themselves: the dump names only grants beyond PostgreSQL's own."""
    granted = connection.execute(
        "select n.nspname, case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' else 'functions' end,"
        "  coalesce(r.rolname, 'public')"
        " from pg_default_acl d cross join lateral aclexplode(d.defaclacl) as a"
        " left join pg_namespace n on n.oid = d.defaclnamespace left join pg_roles r on r.oid = a.grantee"
        " where d.defaclrole = current_user::regrole and d.defaclobjtype in ('r', 'S', 'f')"
        "  and a.grantee <> d.defaclrole and coalesce(n.nspname, 'public') = 'public'"
    ).fetchall()
    for schema, kind, role in granted:
        connection.execute(
            sql.SQL("alter default privileges {} revoke all on {} from {}").format(
                sql.SQL("in schema {}").format(sql.Identifier(schema)) if schema else sql.SQL(""),
                sql.SQL(kind),
                sql.SQL("public") if role == "public" else sql.Identifier(role),
            )
        )
    migrations.run_file(connection, ROOT / "sql" / "10_core" / "privileges.sql")


def _count(connection: psycopg.Connection, table: str) -> int:
    """The number of rows of a table, whose name is quoted already."""
    row = connection.execute(sql.SQL("select count(*) from only {}").format(sql.SQL(table))).fetchone()
    assert row
    number: int = row[0]
    return number


def _one(connection: psycopg.Connection, query: LiteralString) -> Any:
    row = connection.execute(query).fetchone()
    assert row
    return row[0]
