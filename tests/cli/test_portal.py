"""The command `portal`, as a person types it, on an embedded database of its own."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from api.errors import PortalError
from tests.cli.running import PORTAL, portal


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """DATA_DIR, outside of pytest's own folders, which the database's user may not enter."""
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        monkeypatch.setenv("DATA_DIR", folder)
        yield Path(folder)


@contextmanager
def running(**settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yields a `portal run` that answers, and its origin."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    environment = os.environ | settings | {"PORT": str(port)}
    with subprocess.Popen([*PORTAL, "run"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(300):
                assert process.poll() is None
                with suppress(httpx.TransportError):
                    assert httpx.get(f"{origin}/health").status_code == 200
                    break
                time.sleep(0.1)
            yield process, origin
        finally:
            process.kill()


def postmaster(data: Path) -> psutil.Process | None:
    """The embedded server's process, if it runs."""
    file = data / "postgres" / "postmaster.pid"
    return psutil.Process(int(file.read_text().split()[0])) if file.exists() else None


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly_and_finds_its_data_again(data_dir: Path, ending: signal.Signals) -> None:
    with running(SEED="off", PORTAL_DIR=str(data_dir)) as (process, origin):
        process.send_signal(ending)
        output, _ = process.communicate(timeout=15)
        assert origin in output
        assert f"{origin.replace('127.0.0.1', 'portal.localhost')}/" in output
        assert (process.returncode, output.splitlines()[-1]) == (0, "Stopped.")
    assert postmaster(data_dir) is None
    assert portal("migrate") == "Nothing to apply.\n"


def test_a_missing_data_dir_is_created(data_dir: Path) -> None:
    portal("migrate", DATA_DIR=str(data_dir / "one" / "two words"))
    assert (data_dir / "one" / "two words" / "postgres" / "PG_VERSION").exists()


def test_a_killed_process_leaves_a_database_that_works(data_dir: Path) -> None:
    with running(SEED="off") as (process, _):
        process.kill()
        process.wait()
        assert postmaster(data_dir) is not None
        assert portal("migrate") == "Nothing to apply.\n"
        assert postmaster(data_dir) is None


def test_a_crashed_machine_leaves_a_database_that_works(data_dir: Path) -> None:
    with running(SEED="off") as (process, _):
        process.kill()
        process.wait()
        database = postmaster(data_dir)
        assert database is not None
        database.kill()
        database.wait()
    # after a reboot any process may have the same id
    file = data_dir / "postgres" / "postmaster.pid"
    file.write_text(file.read_text().replace(str(database.pid), str(os.getpid()), 1))
    assert portal("migrate") == "Nothing to apply.\n"


def test_a_half_created_database_is_created_again(data_dir: Path) -> None:
    (data_dir / ".postgres-abandoned").mkdir()
    (data_dir / ".postgres-abandoned" / "PG_VERSION").write_text("18\n")
    assert "pending" in portal("migrate", "--status")
    assert not (data_dir / ".postgres-abandoned").exists()


def test_another_process_joins_and_leaves_the_server_running() -> None:
    with running() as (_, origin):
        assert portal("seed") == "The demo data is there.\n"
        assert httpx.get(f"{origin}/health").status_code == 200


def test_status_shows_and_does_not_apply() -> None:
    for _ in range(2):
        output = portal("migrate", "--status")
        assert "pending" in output
        assert "applied" not in output


PROJECT = {"SUPABASE_URL": "https://x.supabase.co", "SUPABASE_ANON_KEY": "key", "JWT_SECRET": "x" * 32}


@pytest.mark.parametrize(
    ("command", "settings", "sentence"),
    [
        ("run", {"HOST": "0.0.0.0"}, "set TS_API_KEY"),  # noqa: S104
        (
            "run",
            {"HOST": "name.invalid", "TS_API_KEY": "a long random text"},
            "Cannot listen on name.invalid, port 8000",
        ),
        ("run", {"PORT": "abc"}, "PORT: Input should be a valid integer"),
        ("migrate", {"RATE_LIMIT": "maybe"}, "RATE_LIMIT: Input should be"),
        ("migrate", {"DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "The database cannot be reached"),
        ("seed", {"DATA_DIR": "/dev/null/data"}, "set DATA_DIR"),
        ("seed", {"DATA_DIR": "/tmp/a,b"}, "set DATA_DIR to a path without comma"),  # noqa: S108
        ("seed", {"DATA_DIR": f"/tmp/{'long' * 30}"}, "set DATA_DIR to a shorter path"),  # noqa: S108
        ("seed", PROJECT, "set DATABASE_URL too"),
        ("migrate", PROJECT, "set DATABASE_URL too"),
    ],
)
def test_invalid_settings_are_explained_in_one_sentence(command: str, settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(PortalError, match=re.escape(sentence)) as refusal:
        portal(command, **settings)
    assert "\n" not in str(refusal.value)


def test_a_database_with_other_access_rules_is_not_served(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("alter table public.transfers disable row level security")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(PortalError, match=r"missing: public\.transfers: row level security"):
        portal("run", DATABASE_URL=database, PORT=str(port))


def test_a_failure_ends_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = os.environ | {"PORT": str(taken.getsockname()[1])}
        result = subprocess.run([*PORTAL, "run"], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert re.fullmatch(r"portal: Cannot listen on .*Address already in use.*\n", result.stderr)


@pytest.mark.parametrize(
    "command", [[], ["run"], ["migrate"], ["seed"], ["jobs"], ["jobs", "run"], ["jobs", "install"]]
)
def test_help_has_examples(command: list[str]) -> None:
    assert "$ portal" in portal(*command, "--help")
