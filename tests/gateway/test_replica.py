"""Figures and lists of operators come from a replica that is near; everything else comes from the primary."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from api.actor import SERVER
from api.database.migrations import migrate
from api.gateway import replica
from api.gateway.replica import READS, ReplicatedGateway
from tests.support.acting import call, one, thinker
from tests.support.databases import EMBEDDED, Server, run_local
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    """A server that replicates."""
    with run_local(EMBEDDED) as server:
        migrate(server.url())
        yield server


@pytest.fixture
def standby(primary: Server) -> Iterator[str]:
    """The URL of a replica of it."""
    user = "embedded_postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="portal-") as name:
        folder = Path(name)
        data = folder / "data"
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            # into a file, not a pipe: the server that pg_ctl starts would keep a pipe open
            with (folder / "output").open("ab") as output:
                command = [str(EMBEDDED / program), *arguments]
                subprocess.run(command, user=user, cwd="/", check=True, stdout=output, stderr=output)

        run("pg_basebackup", "-d", primary.url(), "-D", str(data), "-R", "-c", "fast", "--no-sync")
        with (data / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{folder}'\n")
        run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-w", "start")
        yield f"postgresql://postgres@/postgres?host={folder}"
        if (data / "postmaster.pid").exists():
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


@asynccontextmanager
async def opened(primary: Server, standby: str) -> AsyncIterator[ReplicatedGateway]:
    """A gateway that has found the replica near."""
    gateway = ReplicatedGateway(primary.url(), standby)
    async with gateway.open():
        await until(lambda: gateway._seen > 0)
        yield gateway


def pause(standby: str) -> None:
    """Lets the replica fall behind."""
    with psycopg.connect(standby, autocommit=True) as connection:
        connection.execute("select pg_wal_replay_pause()")
        wait_until(lambda: one(connection, "select pg_get_wal_replay_pause_state()") == "paused")


def issue(primary: Server) -> str:
    """The id of a new voucher."""
    with psycopg.connect(primary.url(), autocommit=True) as connection:
        return str(call(connection, thinker("anna"), "issue_voucher")["id"])


async def until(happened: Callable[[], bool]) -> None:
    """Returns as soon as it happens. Raises AssertionError after a minute."""
    for _ in range(6000):
        if happened():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not happen")


async def until_shown(gateway: ReplicatedGateway, voucher: str) -> None:
    """Returns as soon as the log that operators read names a voucher. Raises AssertionError if it does not."""
    for _ in range(600):
        if await has(gateway, "list_events", voucher):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it is not shown")


async def has(gateway: ReplicatedGateway, function: str, voucher: str) -> bool:
    """Returns whether a list names a voucher."""
    return voucher in str(await gateway.call(function, SERVER))


def test_only_lists_of_operators_come_from_a_replica_that_is_near(
    primary: Server, standby: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_SECONDS", 0.05)

    async def look() -> None:
        async with opened(primary, standby) as gateway:
            pause(standby)
            voucher = issue(primary)
            assert not await has(gateway, "list_events", voucher)
            assert await has(gateway, "list_vouchers", voucher)
            monkeypatch.setattr(replica, "MAX_LAG", 0.5)
            await until_shown(gateway, voucher)
            # and again, when it has what was written
            with psycopg.connect(standby, autocommit=True) as connection:
                connection.execute("select pg_wal_replay_resume()")
            await until(lambda: gateway._seen + 0.5 > time.monotonic())

    asyncio.run(look())


def test_without_its_replica_the_primary_answers(primary: Server, standby: str) -> None:
    async def look() -> None:
        async with opened(primary, standby) as gateway:
            pause(standby)
            voucher = issue(primary)
            with psycopg.connect(standby, autocommit=True) as connection:
                folder = Path(one(connection, "show data_directory"))
            os.kill(int((folder / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
            await until_shown(gateway, voucher)

    asyncio.run(look())


def test_a_server_that_is_no_replica_is_not_asked(primary: Server) -> None:
    async def look() -> None:
        gateway = ReplicatedGateway(primary.url(), primary.url())
        async with gateway.open():
            await until(lambda: len(gateway._written) > 1)
            assert gateway._seen < 0

    asyncio.run(look())


def test_what_comes_from_the_replica_writes_nothing(primary: Server) -> None:
    with psycopg.connect(primary.url()) as connection:
        volatile = "select proname from pg_proc where pronamespace = 'public'::regnamespace and provolatile = 'v'"
        assert READS & {name for (name,) in connection.execute(volatile)} == set()
