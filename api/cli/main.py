"""The command `portal`."""

import signal
import socket
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.markup import escape

from api import logs
from api.cli import backup, books, check, exports, imports, jobs, persons, settlements, thinkers
from api.cli.owner import console
from api.cli.tables import Row, Table
from api.cli.texts import visible_line
from api.database import migrations, open_database, rules
from api.errors import ApiError, PortalError
from api.settings import Settings, load_settings

_STATES = {
    "applied": ("applied", ""),
    "pending": ("pending", "yellow"),
    "edited": ("edited: the file differs from what was applied", "red"),
    "missing": ("missing: it was applied, but the file is gone", "red"),
}
"""What `portal migrate --status` prints for a state, and its style."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="""Serve and operate the portal's API on PostgreSQL.

    All commands read the same settings, from the environment or the file .env, and use the same database: the one at
    DATABASE_URL, or by default an embedded one with its data in DATA_DIR.

    \b
    $ portal run                      serve on http://127.0.0.1:8000
    $ PORT=9000 SEED=0 portal run     another port, no demo data
    $ DATA_DIR=/tmp/try portal run    another embedded database
    $ portal migrate --status         show which migrations are applied
    $ portal settle --dry-run         show what would be settled
    $ portal jobs                     show the scheduled jobs""",
)
app.add_typer(settlements.app)
app.add_typer(books.app)
app.add_typer(check.app)
app.add_typer(backup.app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(imports.app, name="import")
app.add_typer(exports.app, name="export", short_help="Move out, or hand out what is stored about a person.")
app.add_typer(persons.erasing, name="erase")
app.add_typer(thinkers.app, name="thinkers")


def main() -> None:
    """Run the command line. An expected error is printed as one sentence, with exit code 1."""
    # a closed terminal and a service manager stop the server in the same orderly way as Ctrl-C, which commands that a
    # script starts in the background would ignore
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        app()
    except (PortalError, ApiError, psycopg.Error) as error:
        sentence = f"{error.message('en')}." if isinstance(error, ApiError) else str(error)
        Console(stderr=True).print(f"[red]portal:[/] {escape(visible_line(sentence))}", highlight=False, soft_wrap=True)
        sys.exit(1)


@app.command()
def run() -> None:
    """Apply the migrations, add the demo data and serve.

    Ctrl-C stops it. Meanwhile it runs the scheduled jobs that pg_cron does not have (`portal jobs`). SEED=0 leaves the
    demo data out. PORTAL_DIR also serves a folder of portal pages from the same origin. Any HOST other than this
    machine's own needs TS_API_KEY. A database whose access rules are not those of the schema is not served: `portal
    check` lists the differences.

    \b
    $ portal run
    $ PORTAL_DIR=../portal portal run
    $ HOST=0.0.0.0 TS_API_KEY=... portal run
    """
    settings = load_settings()
    settings.refuse_open_host()
    logs.configure(settings)
    with suppress(KeyboardInterrupt), _listen(settings) as listener, _database_to_serve(settings) as url:
        if url is not None:
            # a read-only database, such as a replica, is served as it is
            with suppress(psycopg.errors.ReadOnlySqlTransaction):
                migrations.migrate(url)
                if settings.is_seeded:
                    migrations.seed(url)
            rules.refuse_other_rules(url)
        # imported late: --help does not need them
        from api.app import create_app
        from api.http.workers import serve, workers_for
        from api.scheduler import run_jobs

        workers = workers_for(settings, url)
        _print_addresses(settings, listener.getsockname()[1])
        # here and not in each worker; without a connection to the database pg_cron has to run them
        with nullcontext() if url is None else run_jobs(url):
            serve(partial(create_app, settings, url), settings, listener, workers)
    console.print("Stopped.")


@app.command()
def migrate(
    status: Annotated[bool, typer.Option("--status", help="Show which are applied; change nothing.")] = False,
) -> None:
    """Apply the pending migrations.

    Each file of supabase/migrations is one transaction. It is recorded as the Supabase CLI records it, so that both
    tools can be used on the same database.

    \b
    $ portal migrate --status
    $ DATABASE_URL=postgresql://... portal migrate
    """
    with _database_to_migrate(load_settings()) as url:
        if status:
            Table(console, "version", "name", "state").print(
                Row((row.version, row.name, _STATES[row.state][0]), style=_STATES[row.state][1])
                for row in migrations.status(url)
            )
            return
        applied = migrations.migrate(url)
    for migration in applied:
        console.print(f"applied {migration.file}")
    if not applied:
        console.print("Nothing to apply.")


@app.command()
def seed() -> None:
    """Apply the migrations and add the demo data.

    Data that exists stays as it is.

    \b
    $ portal seed
    """
    with _database_to_migrate(load_settings()) as url:
        migrations.migrate(url)
        migrations.seed(url)
    console.print("The demo data is there.")


def _database_to_serve(settings: Settings) -> AbstractContextManager[str | None]:
    """The database to migrate; none where there is only the Data API of a project."""
    return nullcontext() if settings.has_only_data_api else open_database(settings)


def _database_to_migrate(settings: Settings) -> AbstractContextManager[str]:
    """The database to migrate. Raises PortalError where there is only the Data API of a project."""
    if settings.has_only_data_api:
        raise PortalError(
            "The command needs a connection to the database itself: set DATABASE_URL too, or run `supabase db push`."
        )
    return open_database(settings)


def _listen(settings: Settings) -> socket.socket:
    """The socket to serve on. Raises PortalError where the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # without the protocol's number asyncio leaves Nagle's algorithm on, and every response takes 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
        return listener
    except OSError as error:
        listener.close()
        # without the address, which Python appends
        reason = str(error.strerror).partition(" (while")[0]
        place = f"{settings.host}, port {settings.port}"
        raise PortalError(f"Cannot listen on {place} ({reason}): set PORT or HOST.") from error


def _print_addresses(settings: Settings, port: int) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    origin = f"http://{host}:{port}"
    database = settings.supabase_url or ("DATABASE_URL" if settings.database_url else str(settings.data_dir))
    addresses = {
        "dashboards": f"{origin}/admin",
        "API": f"{origin}/api",
        "OpenAPI": f"{origin}/schema",
        "health": f"{origin}/health",
        "data": database,
        "stop": "Ctrl-C",
    }
    if settings.portal_dir is not None:
        # under the names localhost and 127.0.0.1 the portal's pages look for their servers elsewhere, and fail at first
        pages = f"http://portal.localhost:{port}" if settings.is_loopback_only else origin
        addresses = {"portal": f"{pages}/  (from {settings.portal_dir})"} | addresses
    console.print("The portal's API is running.", style="green")
    for name, address in addresses.items():
        console.print(f"  {name:<12}{address}")
    if not settings.is_loopback_only and not settings.trusted_proxies:
        console.print(
            "Other machines reach this server by plain HTTP: put a proxy with HTTPS before it, and its address into "
            "TRUSTED_PROXIES (docs/proxy.md).",
            style="yellow",
            soft_wrap=True,
        )
