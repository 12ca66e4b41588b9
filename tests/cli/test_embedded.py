"""The embedded server: which process counts as the one of a data folder, and what happens when it ends or hangs."""

import logging
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import psutil
import psycopg
import pytest

from api.database import embedded
from api.database.embedded import PROGRAMS, run_embedded
from api.errors import PortalError
from tests.support.acting import one
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A data folder whose server was stopped, to be copied: making one takes seconds."""
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        with run_embedded(Path(folder)):
            pass
        yield Path(folder)


@pytest.fixture
def data_dir(template: Path) -> Iterator[Path]:
    """A data folder, outside of pytest's own folders, which the database's user may not enter."""
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        copy(template, Path(folder))
        yield Path(folder)


def copy(folder: Path, other: Path) -> None:
    """Copies a data folder with owners, sockets and all."""
    subprocess.run(["cp", "-a", f"{folder}/.", other], check=True)  # noqa: S607 (of the machine)


def folder_of(url: str) -> str:
    """The data folder of the server that answers."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select setting from pg_settings where name = 'data_directory'").fetchone()
    assert row
    return str(row[0])


def postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))


def test_the_settings_suit_the_machine_and_lose_nothing(data_dir: Path) -> None:
    with run_embedded(data_dir) as url, psycopg.connect(url) as connection:
        set_by_file = "select name, setting from pg_settings where source = 'configuration file'"
        found: dict[str, str] = dict(connection.execute(set_by_file).fetchall())
        safe = connection.execute("show fsync").fetchone(), connection.execute("show synchronous_commit").fetchone()
    # in pages of 8 KiB
    assert found.keys() >= {"effective_cache_size", "checkpoint_timeout", "max_wal_size", "wal_compression"}
    assert 16_384 <= int(found["shared_buffers"]) <= 131_072
    assert safe == (("on",), ("on",))


def test_a_copy_of_a_folder_in_use_has_a_server_of_its_own(data_dir: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="portal-") as other, run_embedded(data_dir) as url:
        copy(data_dir, Path(other))
        with run_embedded(Path(other)) as other_url:
            assert folder_of(other_url) == f"{other}/postgres"
        assert folder_of(url) == f"{data_dir}/postgres"


def test_a_server_of_another_folder_is_never_stopped(data_dir: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="portal-") as other:
        copy(data_dir, Path(other))
        with run_embedded(data_dir) as url:
            with run_embedded(Path(other)):
                server = postmaster(Path(other))
                # as a copy over a folder in use does
                shutil.copy(data_dir / "postgres" / "postmaster.pid", Path(other) / "postgres" / "postmaster.pid")
            assert folder_of(url) == f"{data_dir}/postgres"
            server.send_signal(signal.SIGINT)
            server.wait(30)


def test_a_folder_behind_a_link_has_one_server_for_all_its_users(data_dir: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="portal-") as other, run_embedded(data_dir) as url:
        (Path(other) / "postgres").symlink_to(data_dir / "postgres")
        server = postmaster(data_dir)
        with run_embedded(Path(other)) as other_url:
            assert folder_of(other_url) == folder_of(url)
        assert postmaster(data_dir) == server
        assert server.is_running()


def test_the_server_of_a_folder_at_the_place_of_a_moved_one_is_not_stopped(template: Path, data_dir: Path) -> None:
    place, moved = data_dir / "place", data_dir / "moved"
    copy(template, place)
    with ExitStack() as later:
        with run_embedded(place):
            place.rename(moved)
            copy(template, place)
            later.enter_context(run_embedded(place))
        assert postmaster(place).is_running()
        # the next command ends it
        with run_embedded(moved):
            server = postmaster(moved)
        assert not server.is_running()


def test_no_database_is_created_in_place_of_one_that_was_moved(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "RESTART_SECONDS", 0.1)
    folder, moved = data_dir / "postgres", data_dir / "moved"
    with run_embedded(data_dir):
        folder.rename(moved)
        wait_until(lambda: "is gone" in caplog.text)
        assert not folder.exists()
        moved.rename(folder)


@pytest.mark.parametrize("content", ["", "\xff", "{own}\n/elsewhere\n"], ids=["empty", "torn", "of another program"])
def test_a_stale_pid_file_is_ignored(data_dir: Path, content: str) -> None:
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        (data_dir / "postgres" / name).write_text(content.format(own=psutil.Process().pid), encoding="latin-1")
    with run_embedded(data_dir) as url:
        assert folder_of(url)


def test_a_moved_folder_keeps_its_server(data_dir: Path) -> None:
    moved = data_dir.with_name(f"{data_dir.name}-moved")
    with run_embedded(data_dir):
        server = postmaster(data_dir)
        data_dir.rename(moved)
        try:
            with run_embedded(moved):
                assert postmaster(moved) == server
        finally:
            moved.rename(data_dir)
    assert not server.is_running()


def test_a_server_that_hangs_is_waited_for(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "PATIENCE_SECONDS", 0.0)
    with run_embedded(data_dir):
        server = postmaster(data_dir)
        server.suspend()
        resuming = Timer(0.5, server.resume)
        resuming.start()
        with caplog.at_level(logging.WARNING), run_embedded(data_dir) as url:
            assert folder_of(url)
        resuming.join()
    assert "waiting for it" in caplog.text


def test_a_long_recovery_is_waited_for(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "PATIENCE_SECONDS", 0.0)
    # a recovery that lasts until the promotion
    (data_dir / "postgres" / "standby.signal").touch()
    with (data_dir / "postgres" / "postgresql.auto.conf").open("a") as configuration:
        configuration.write("hot_standby = off\n")

    def promote() -> None:
        wait_until(lambda: "waiting for it" in caplog.text)
        wait_until(lambda: "waiting for WAL" in (data_dir / "postgres" / "log").read_text())
        (data_dir / "postgres" / "promote").touch()
        postmaster(data_dir).send_signal(signal.SIGUSR1)

    promotion = Timer(0, promote)
    promotion.start()
    with caplog.at_level(logging.WARNING), run_embedded(data_dir) as url:
        assert folder_of(url)
    promotion.join()


def test_a_long_log_is_moved(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "RESTART_SECONDS", 0.1)
    monkeypatch.setattr(embedded, "MAX_LOG_BYTES", 10_000)
    log, older = data_dir / "postgres" / "log", data_dir / "postgres" / "log.1"
    with run_embedded(data_dir) as url, psycopg.connect(url, autocommit=True) as connection:
        for text in ("a" * 12_000, "b" * 12_000):
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                connection.execute("select %s::int", (text,))
            wait_until(lambda: log.stat().st_size == 0)
            assert text[:1_000] in older.read_text()
            assert older.stat().st_size <= 10_000
        # the server goes on to write into the same file
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("select 1 / 0")
        wait_until(lambda: "division by zero" in log.read_text())
        assert older.stat().st_mode & 0o777 == 0o600


def test_a_server_that_ended_is_started_again(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "RESTART_SECONDS", 0.1)

    def answers() -> bool:
        try:
            return bool(folder_of(url))
        except psycopg.OperationalError:
            return False

    with run_embedded(data_dir) as url:
        ended = postmaster(data_dir)
        ended.kill()
        wait_until(lambda: answers() and postmaster(data_dir) != ended)


def test_a_server_that_does_not_stop_must(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.1)
    with run_embedded(data_dir) as url:
        server = postmaster(data_dir)
        with psycopg.connect(url) as connection:
            checkpointer = one(connection, "select pid from pg_stat_activity where backend_type = 'checkpointer'")
        # as when the disk is full while it recovers
        psutil.Process(checkpointer).suspend()
    assert not server.is_running()
    with run_embedded(data_dir) as url:
        assert folder_of(url)


def test_a_folder_of_another_version_is_explained(data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").write_text("14\n")
    with (
        pytest.raises(PortalError, match=r"holds data of PostgreSQL 14, .* restore it into a new DATA_DIR"),
        run_embedded(data_dir),
    ):
        pass


def test_the_reason_is_told_when_the_server_does_not_start(data_dir: Path) -> None:
    (data_dir / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(PortalError, match=r"did not start \(.*pg_control"), run_embedded(data_dir):
        pass


def test_the_last_user_stops_the_server(data_dir: Path) -> None:
    with run_embedded(data_dir):
        server = postmaster(data_dir)
        with run_embedded(data_dir):
            pass
        assert server.is_running()
    assert not server.is_running()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    assert (PROGRAMS / "postgres").exists()
