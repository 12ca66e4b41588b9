"""The command `portal`."""

import signal
import socket
import sys
from contextlib import AbstractContextManager, nullcontext, suppress

import psycopg
import typer
import uvicorn
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from api.cli import jobs, settlements
from api.cli.owner import console
from api.database import connect, migrations, open_database
from api.errors import PortalError
from api.settings import Settings, load_settings

_STATES = {
    "applied": "[green]applied[/]",
    "pending": "[yellow]pending[/]",
    "edited": "[red]edited: the file is not what was applied[/]",
    "missing": "[red]missing: applied, but there is no such file[/]",
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""The portal's API on Postgres.

    Every command reads the same settings, from the environment or from [bold].env[/]
    ([bold].env.example[/] explains each), and works on the same database:
    the one at [bold]DATABASE_URL[/], or else the embedded one with its data in [bold]DATA_DIR[/].

    [dim]$[/] portal run                        [dim]serve on http://127.0.0.1:8000[/]\n
    [dim]$[/] PORT=9000 SEED=0 portal run       [dim]on another port, without demo data[/]\n
    [dim]$[/] DATA_DIR=/tmp/try portal run      [dim]with a database of its own[/]\n
    [dim]$[/] portal migrate --status           [dim]what is applied, what is not[/]\n
    [dim]$[/] portal settle --dry-run           [dim]what would be settled[/]\n
    [dim]$[/] portal jobs                       [dim]what the clock does, and whether it does[/]""",
)
app.add_typer(settlements.app)
app.add_typer(jobs.app, name="jobs")


def main() -> None:
    """Runs the command line; what is expected to fail ends in one sentence and exit code 1."""
    # A terminal that closes and a service manager that stops us mean the same as Ctrl-C: leave in good order.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        app()
    except (PortalError, psycopg.Error) as error:
        Console(stderr=True).print(f"[red]portal:[/] {escape(str(error).strip())}", soft_wrap=True)
        sys.exit(1)


@app.command()
def run() -> None:
    """Migrate, seed and serve, until Ctrl-C.

    [bold]SEED=0[/] leaves the demo data out.
    [bold]PORTAL_DIR[/] also serves a folder of portal pages from the same origin.
    Any address but this machine's own ([bold]HOST[/]) needs [bold]TS_API_KEY[/].

    [dim]$[/] portal run\n
    [dim]$[/] PORTAL_DIR=../portal portal run\n
    [dim]$[/] HOST=0.0.0.0 TS_API_KEY=... portal run
    """
    settings = load_settings()
    settings.refuse_open_host()
    with suppress(KeyboardInterrupt), _listen(settings) as listener, _database_to_serve(settings) as url:
        if url is not None:
            migrations.migrate(url)
            _make_room_for_events(url)
            if settings.is_seeded:
                migrations.seed(url)
        _serve(settings, url, listener)
    console.print("Stopped.")


@app.command()
def migrate(
    status: bool = typer.Option(False, "--status", help="Show what is applied and what is not; change nothing."),
) -> None:
    """Apply the pending files of supabase/migrations.

    Each file is one transaction, recorded as the Supabase CLI records it:
    both can be used on the same database.

    [dim]$[/] portal migrate --status\n
    [dim]$[/] DATABASE_URL=postgresql://postgres:secret@db.example.org/postgres portal migrate
    """
    with _database_to_migrate(load_settings()) as url:
        if status:
            console.print(_status_table(migrations.status(url)))
            return
        applied = migrations.migrate(url)
    for migration in applied:
        console.print(f"[green]applied[/] {migration.file}")
    if not applied:
        console.print("Nothing to apply.")


@app.command()
def seed() -> None:
    """Write the demo data of supabase/seed.sql; what is there already stays.

    [dim]$[/] portal seed
    """
    with _database_to_migrate(load_settings()) as url:
        migrations.migrate(url)
        migrations.seed(url)
    console.print("The demo data is there.")


def _make_room_for_events(url: str) -> None:
    """Makes the months of the log to come, which a database without a clock would lack one day."""
    # where the log is in use, the next start or the job does it
    with connect(url) as connection, suppress(psycopg.errors.LockNotAvailable):
        connection.execute("select private.make_event_partitions()")


def _database_to_serve(settings: Settings) -> AbstractContextManager[str | None]:
    """The database to migrate; none where there is only the Data API of a project."""
    return nullcontext() if settings.has_only_data_api else open_database(settings)


def _database_to_migrate(settings: Settings) -> AbstractContextManager[str]:
    """The database to migrate. Raises PortalError where there is only the Data API of a project."""
    if settings.has_only_data_api:
        raise PortalError("SUPABASE_URL says where to ask: set DATABASE_URL too, or migrate with `supabase db push`.")
    return open_database(settings)


def _listen(settings: Settings) -> socket.socket:
    """The socket to serve on. Raises PortalError where the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # named as TCP, or asyncio leaves Nagle's algorithm on and every answer takes 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
        return listener
    except OSError as error:
        listener.close()
        # socket adds the address, which is said here already
        reason = str(error.strerror).partition(" (while")[0]
        place = f"{settings.host}, port {settings.port}"
        raise PortalError(f"Cannot listen on {place} ({reason}): set PORT or HOST.") from error


def _serve(settings: Settings, url: str | None, listener: socket.socket) -> None:
    from api.app import create_app  # --help needs not wait for it

    config = uvicorn.Config(
        create_app(settings, url),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # TRUSTED_PROXIES says whom to believe
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    console.print(_where_to_go(settings, listener.getsockname()[1]))
    server.run(sockets=[listener])
    if not server.started:
        raise PortalError("The server did not start; the lines above say why.")


def _where_to_go(settings: Settings, port: int) -> Panel:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    origin = f"http://{host}:{port}"
    places = Table.grid(padding=(0, 2))
    if settings.portal_dir is not None:
        places.add_row("portal", f"{origin}/  (from {settings.portal_dir})")
    places.add_row("dashboards", f"{origin}/admin")
    places.add_row("API", f"{origin}/api")
    places.add_row("its description", f"{origin}/schema")
    places.add_row("health", f"{origin}/health")
    places.add_row("try it", f"curl {origin}/health")
    places.add_row(
        "data", settings.supabase_url or ("DATABASE_URL" if settings.database_url else str(settings.data_dir))
    )
    places.add_row("stop", "Ctrl-C")
    return Panel(places, title="The portal's API is running", border_style="green", expand=False)


def _status_table(rows: list[migrations.Status]) -> Table:
    table = Table("version", "name", "state")
    for row in rows:
        table.add_row(row.version, escape(row.name), _STATES[row.state])
    return table
