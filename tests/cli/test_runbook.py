"""The commands of docs/runbook.md bring a database back to a moment, and move it to another version of PostgreSQL."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from api.database.embedded import run_embedded
from api.settings import ROOT
from tests.cli.running import portal
from tests.support.databases import DEBIAN, Server, run_local
from tests.support.missing import missing
from tests.support.usage import rows, use


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an operator, with the virtual environment, and the portal's data in .data."""
    folder = tmp_path_factory.mktemp("op")  # short: the path of a socket is
    (folder / ".venv").symlink_to(sys.prefix)
    monkeypatch.chdir(folder)
    return folder


def blocks(title: str) -> list[str]:
    """The commands in the section with this title."""
    _, section = (ROOT / "docs" / "runbook.md").read_text().split(f"\n## {title}\n")
    return re.findall(r"```sh\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)


def shell(*commands: str, **settings: str) -> str:
    """The output of commands that must succeed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | settings
    result = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_database_comes_back_to_a_moment(folder: Path) -> None:
    keep, copy, back = blocks("Back to a moment")
    names = keep.partition("\n\n")[0]
    data = folder / ".data"
    with run_embedded(data):
        portal("migrate", DATA_DIR=str(data))
        shell(keep)
    with run_embedded(data) as url, psycopg.connect(url, autocommit=True) as connection:
        shell(names, copy)
        use(connection)
        before = rows(connection)
        [[moment]] = connection.execute("select clock_timestamp()::text").fetchall()
        connection.execute("update public.vouchers set title = 'wrong'")
        # the recovery ends at the first change after the moment
        [base] = folder.glob("base-*")
        assert "rules hold." in shell(names, back, MOMENT=moment, BASE=base.name)
    with run_embedded(folder / ".moment") as url, psycopg.connect(url) as connection:
        assert rows(connection) == before
        assert connection.execute("insert into public.rooms (id) values ('x')").rowcount == 1


def test_a_database_of_postgresql_15_becomes_one_of_this_version(server: Server, tmp_path: Path) -> None:
    programs = Path(DEBIAN.format(15))
    if not (programs / "initdb").exists():
        missing("This test needs PostgreSQL 15 (Debian: apt install postgresql-15).")
    file = str(tmp_path / "portal.zip")
    with run_local(programs) as old, server.database() as target:
        portal("migrate", DATABASE_URL=old.url())
        with psycopg.connect(old.url(), autocommit=True) as connection:
            use(connection)
            before = rows(connection)
        portal("backup", file, DATABASE_URL=old.url())
        assert "restored and verified" in portal("restore", file, DATABASE_URL=target)
        with psycopg.connect(target) as connection:
            assert rows(connection) == before
        assert "rules hold." in portal("check", DATABASE_URL=target)
