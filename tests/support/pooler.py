"""A transaction pooler before a database, as Supabase has one: PgBouncer of Debian."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.support.missing import missing
from tests.support.waiting import wait_until

CONNECTIONS = 6


@contextmanager
def run_pooler(url: str) -> Iterator[str]:
    """Yields the URL of a database, through a pooler that gives its connections to another client at each pause."""
    program = shutil.which("pgbouncer", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if program is None:
        missing("These tests need PgBouncer (Debian: apt install pgbouncer).")
    parameters = conninfo_to_dict(url)
    host = str(parameters["host"])
    with tempfile.TemporaryDirectory(prefix="portal-") as name:
        folder = Path(name)
        database = {key: value for key, value in parameters.items() if key in ("host", "port", "user", "password")}
        target = " ".join(f"{key}={value}" for key, value in database.items())
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = {target}\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n"
            f"unix_socket_dir = {folder}\nlisten_port = 6432\ndefault_pool_size = {CONNECTIONS}\n"
            # seconds after which it asks again for a server that was away: by default 15
            "server_login_retry = 1\n"
        )
        user = None
        if os.geteuid() == 0:
            # PgBouncer refuses to run as root; the server's user may open its socket
            user = Path(host).owner() if host.startswith("/") else "nobody"
            shutil.chown(folder, user)
        with subprocess.Popen(
            [program, folder / "pgbouncer.ini"], user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                wait_until(lambda: (folder / ".s.PGSQL.6432").exists())
                yield f"postgresql://{parameters['user']}@/{parameters['dbname']}?host={folder}&port=6432"
            finally:
                process.terminate()
