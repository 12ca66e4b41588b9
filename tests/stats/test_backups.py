"""The dashboard shows the state of the server's archive as the state of backups."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.database.migrations import migrate
from api.legacy.german import ago
from tests.support.acting import one
from tests.support.databases import run_server
from tests.support.serving import Connection, serve, settings_in
from tests.support.waiting import wait_for_row

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archiving() -> Iterator[str]:
    """The URL of a migrated database on a server of its own, that archives its log to nowhere."""
    with run_server({"archive_mode": "on", "archive_command": "true"}) as server, server.database() as url:
        migrate(url)
        yield url


@pytest.fixture
def archive(archiving: str) -> Iterator[psycopg.Connection]:
    """As superuser, in autocommit mode."""
    with psycopg.connect(archiving, autocommit=True) as connection:
        yield connection


def health(url: str, folder: Path) -> Any:
    """Returns what the portal shows."""
    with serve(settings_in(folder), url) as portal, Connection(portal) as client:
        return client.get("/api/admin/dashboard").body["backupHealth"]


def archive_by(connection: psycopg.Connection, command: str) -> None:
    """Sets the server's archive command."""
    connection.execute(f"alter system set archive_command = '{command}'")
    connection.execute("select pg_reload_conf()")
    wait_for_row(connection, f"select where current_setting('archive_command') = '{command}'")


def fill_a_file(connection: psycopg.Connection) -> str:
    """Completes another file of the log, which must be archived, and returns its name."""
    connection.execute("select pg_logical_emit_message(false, 'test', 'so that there is something in it')")
    name: str = one(connection, "select pg_walfile_name(pg_switch_wal())")
    return name


def test_backups_are_off_without_an_archive(database: str, tmp_path: Path) -> None:
    assert health(database, tmp_path) == {"status": "off", "lastBackup": "Nie", "backupFrequency": 0}


def test_the_state_changes_from_waiting_to_ok_to_failed_and_back_to_ok(
    archive: psycopg.Connection, archiving: str, tmp_path: Path
) -> None:
    # everything written so far is archived, and its statistics are reset
    wait_for_row(archive, f"select from pg_stat_archiver where last_archived_wal = '{fill_a_file(archive)}'")
    archive.execute("select pg_stat_reset_shared('archiver')")
    assert health(archiving, tmp_path) == {"status": "waiting", "lastBackup": "Nie", "backupFrequency": 0}

    fill_a_file(archive)
    wait_for_row(archive, "select from pg_stat_archiver where archived_count > 0")
    assert health(archiving, tmp_path) == {"status": "ok", "lastBackup": "Gerade eben", "backupFrequency": 100}

    archive_by(archive, "false")
    fill_a_file(archive)
    wait_for_row(archive, "select from pg_stat_archiver where failed_count > 0")
    failing = health(archiving, tmp_path)
    assert (failing["status"], failing["lastBackup"]) == ("failed", "Gerade eben")
    assert 0 < failing["backupFrequency"] < 100

    archive_by(archive, "true")
    wait_for_row(archive, "select from pg_stat_archiver where last_archived_time > last_failed_time")
    archived, failed = archive.execute("select archived_count, failed_count from pg_stat_archiver").fetchall()[0]
    assert health(archiving, tmp_path) == {
        "status": "ok",
        "lastBackup": "Gerade eben",
        "backupFrequency": round(100 * archived / (archived + failed), 2),
    }


def test_an_archive_that_never_worked_has_failed(archive: psycopg.Connection, archiving: str, tmp_path: Path) -> None:
    archive_by(archive, "false")
    fill_a_file(archive)
    archive.execute("select pg_stat_reset_shared('archiver')")
    fill_a_file(archive)
    wait_for_row(archive, "select from pg_stat_archiver where failed_count > 0")
    assert one(archive, "select archived_count from pg_stat_archiver") == 0
    assert health(archiving, tmp_path) == {"status": "failed", "lastBackup": "Nie", "backupFrequency": 0}
    archive_by(archive, "true")


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(seconds=-30), "Gerade eben"),
        (timedelta(0), "Gerade eben"),
        (timedelta(seconds=50), "Gerade eben"),
        (timedelta(minutes=1), "Vor 1 Minute"),
        (timedelta(minutes=2), "Vor 2 Minuten"),
        (timedelta(minutes=59), "Vor 59 Minuten"),
        (timedelta(hours=1), "Vor 1 Stunde"),
        (timedelta(hours=1, minutes=59), "Vor 1 Stunde"),
        (timedelta(hours=2), "Vor 2 Stunden"),
        (timedelta(hours=23), "Vor 23 Stunden"),
        (timedelta(days=1), "Vor 1 Tag"),
        (timedelta(hours=47), "Vor 1 Tag"),
        (timedelta(days=2), "Vor 2 Tagen"),
        (timedelta(days=400), "Vor 400 Tagen"),
    ],
)
def test_the_age_of_a_backup_in_german(length: timedelta, words: str) -> None:
    assert ago(datetime.now(UTC) - length - timedelta(seconds=1)) == words


def test_never_in_german() -> None:
    assert ago(None) == "Nie"
