"""Moving out and in again: the same database."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from api.exports.manifest import Format, read_manifest
from api.exports.tables import LEFT_OUT, read_tables
from api.exports.writing import write_export
from api.storage import Storage
from tests.cli.running import portal, run
from tests.exports.conftest import DOCUMENT
from tests.support.acting import call
from tests.support.databases import EMBEDDED
from tests.support.serving import settings_in
from tests.support.usage import ANNA, BEN, tables

WINDOW = {"valid_from": "2031-01-07 09:00Z", "valid_until": "2031-01-07 18:00Z", "price_amount": 1000}

pytestmark = pytest.mark.slow


def dump(url: str) -> list[str]:
    """Returns every row and the position of every sequence, without the tables that are left out."""
    command = [str(EMBEDDED / "pg_dump"), "--data-only", "--no-unlogged-table-data", url]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\n")
    # comments name the owner, who is another; \\restrict has a random word
    return sorted(line for line in lines if not line.startswith(("-- ", "\\restrict", "\\unrestrict")))


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet"])
def test_moving_out_and_in_again_gives_the_same_database(
    used: str, used_folder: Path, target: str, tmp_path: Path, name: str
) -> None:
    moved = tmp_path / "moved"
    exported = run("export", str(moved), "--format", name, DATABASE_URL=used, DATA_DIR=str(used_folder))
    manifest = read_manifest(moved)
    assert exported.exit_code == 3
    assert exported.stdout.count("is missing in the store") == len(manifest.documents.missing) > 0
    assert all(table.totals.rows for table in manifest.tables.values())
    modes = {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in [moved, *moved.rglob("*")]}
    assert modes == {(True, "0o700"), (False, "0o600")}

    portal("import", "export", str(moved), DATABASE_URL=target, DATA_DIR=str(tmp_path))

    assert dump(target) == dump(used)
    assert [file.read_bytes() for file in (tmp_path / "contracts").rglob("*") if file.is_file()] == [DOCUMENT]
    if name == "jsonl":
        assert "rules hold." in portal("check", DATABASE_URL=target)


def test_the_portal_serves_on_while_it_is_exported(used: str, target: str, tmp_path: Path) -> None:
    before = dump(used)
    booked: list[str] = []

    def book(done: int, of: int) -> None:
        """Lets a client issue and book a voucher, between two tables."""
        if 0 < done < of:
            voucher = f"meanwhile {done}"
            call(other, ANNA, "issue_voucher", voucher_id=voucher, **WINDOW)
            call(other, BEN, "book_voucher", voucher_id=voucher, slot_start="2031-01-07 09:00Z")
            booked.append(voucher)

    with psycopg.connect(used, autocommit=True) as connection, psycopg.connect(used, autocommit=True) as other:
        # waiting would be an error
        other.execute("set lock_timeout = '1ms'")
        write_export(connection, Storage(settings_in(tmp_path)), tmp_path / "moved", Format.CSV, book)
    assert len(booked) > 25
    assert dump(used) != before
    portal("import", "export", str(tmp_path / "moved"), DATABASE_URL=target, DATA_DIR=str(tmp_path))
    assert dump(target) == before


def test_every_table_is_exported_or_listed(target: str) -> None:
    with psycopg.connect(target) as connection:
        exported = read_tables(connection)
        unlogged = connection.execute(
            "select oid::regclass::text from pg_class where relpersistence = 'u' and relkind = 'r'"
        )
        assert {name for (name,) in unlogged} == LEFT_OUT.keys()
        names = {table.name.removeprefix("public.") for table in exported}
        assert set(tables(connection)) - {name.removeprefix("public.") for name in LEFT_OUT} == names
    assert [table.name for table in exported if not table.key] == []
