"""A migration after the first release goes through while the portal serves: `make lint` refuses any other."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from api.database import migrations
from api.database.migrations import MIGRATIONS, migrate
from api.errors import PortalError
from api.settings import ROOT
from tests.support.acting import one
from tests.support.make_migration import DRAFTED
from tests.support.waiting import wait_for_row

GOOD = f"{DRAFTED}alter table public.vouchers add column note text;\n"

WAITS = "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%portal.migration%'"


def found(folder: Path, sql: str) -> str:
    """What squawk says of a migration, by the settings of `make lint`; nothing if it is good."""
    squawk = Path(sys.executable).with_name("squawk")
    file = folder / "20270101000000_more.sql"
    file.write_text(sql)
    command: list[str | Path] = [squawk, "--config", ROOT / ".squawk.toml", "--reporter", "gcc", file]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode == 0) == (not run.stdout.strip()), run.stderr
    return run.stdout


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("alter table public.vouchers alter column title type varchar(10);", "changing-column-type"),
        ("create index vouchers_x on public.vouchers (title);", "require-concurrent-index-creation"),
        (
            "alter table public.vouchers add column at timestamptz default clock_timestamp();",
            "adding-field-with-default",
        ),
        ("alter table public.vouchers add constraint c check (title <> '');", "constraint-missing-not-valid"),
        ("alter table public.vouchers alter column title set not null;", "adding-not-nullable-field"),
    ],
)
def test_what_would_stop_the_others_is_refused(tmp_path: Path, statement: str, rule: str) -> None:
    assert rule in found(tmp_path, DRAFTED + statement)
    # unless somebody has thought about it
    assert found(tmp_path, f"{DRAFTED}-- squawk-ignore {rule}, prefer-text-field\n{statement}") == ""


def test_a_migration_waits_for_no_lock_without_an_end(tmp_path: Path) -> None:
    assert found(tmp_path, GOOD) == ""
    assert "require-lock-timeout" in found(tmp_path, "alter table public.vouchers add column note text;")


def later(folder: Path, sql: str) -> Path:
    """A folder with the migrations that are there, and this one."""
    for file in MIGRATIONS.glob("*.sql"):
        (folder / file.name).write_text(file.read_text())
    (folder / "20270101000000_more.sql").write_text(sql)
    return folder


def test_a_migration_under_load_stops_nobody_and_is_tried_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_PAUSE_SECONDS", 0.1)
    folder = later(tmp_path, GOOD.replace("'2s'", "'200ms'"))
    with (
        ThreadPoolExecutor() as thread,
        psycopg.connect(database) as long,
        psycopg.connect(database, autocommit=True, options="-c lock_timeout=20s") as other,
    ):
        long.execute("select public.ping(), count(*) from public.vouchers")
        migrating = thread.submit(migrate, database, folder)
        wait_for_row(other, WAITS)
        # behind the migration, until that gives up
        other.execute("insert into public.vouchers (id, issuer_id, valid_from, valid_until)"
                      " select 'v', private.ensure_thinker('anna'), now(), now()")  # fmt: skip
        assert not migrating.done()
        long.commit()
        assert [migration.name for migration in migrating.result()] == ["more"]
        assert one(other, "select note is null from public.vouchers where id = 'v'")


def test_a_migration_that_never_gets_its_lock_leaves_nothing(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(migrations, "_ATTEMPTS", 3)
    folder = later(tmp_path, GOOD.replace("'2s'", "'20ms'"))
    with psycopg.connect(database) as long:
        long.execute("select count(*) from public.vouchers")
        with pytest.raises(PortalError, match="left nothing: canceling statement due to lock timeout"):
            migrate(database, folder)
    assert [migration.name for migration in migrate(database, folder)] == ["more"]
