"""The tests of `supabase/tests`, run as `supabase test db` runs them (which needs Docker, and this does not)."""

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from api.settings import ROOT
from tests.support.databases import EMBEDDED
from tests.support.missing import missing

# on a server and with a client of their own; tests/access asks for the same policies
pytestmark = pytest.mark.slow

TESTS = ROOT / "supabase" / "tests"


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=str(file.relative_to(TESTS))) for file in sorted(TESTS.rglob("*.sql"))]
)
def test_pgtap(checked: str, file: Path) -> None:
    program = shutil.which("pg_prove")
    if program is None:
        missing("These tests need pg_prove (Debian: apt install libtap-parser-sourcehandler-pgtap-perl).")
    connection = {f"PG{key.upper()}": str(value) for key, value in conninfo_to_dict(checked).items()}
    connection["PGDATABASE"] = connection.pop("PGDBNAME")
    options = ["--norc", "--ext", ".pg", "--ext", ".sql", "--failures", "--comments", "--merge"]
    result = subprocess.run(
        [program, *options, "--psql-bin", str(EMBEDDED / "psql"), str(file)],
        env=os.environ | connection,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_tests_leave_nothing_behind(checked: str) -> None:
    with psycopg.connect(checked) as connection:
        assert connection.execute("select to_regnamespace('tests')").fetchone() == (None,)
        assert connection.execute("select id from public.vouchers where id not like 'v-demo-%'").fetchall() == []


def test_every_table_has_a_file_about_its_policies(checked: str) -> None:
    with psycopg.connect(checked) as connection:
        tables = connection.execute(
            "select relname from pg_class "
            "where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1"
        ).fetchall()
    files = sorted(file.name.removesuffix(".test.sql") for file in (TESTS / "policies").iterdir())
    assert [table for (table,) in tables] == files
