"""Moving out and in again: the same database."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from api.exports.manifest import read_manifest
from api.exports.tables import LEFT_OUT, read_tables
from tests.cli.running import portal, run
from tests.exports.conftest import DOCUMENT
from tests.support.databases import EMBEDDED
from tests.support.usage import tables

pytestmark = pytest.mark.slow


def dump(url: str) -> list[str]:
    """Returns every row and the position of every sequence, without the tables that are left out."""
    command = [str(EMBEDDED / "pg_dump"), "--data-only", "--no-unlogged-table-data", url]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\n")
    return sorted(line for line in lines if "restrict " not in line)


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

    portal("import", "export", str(moved), DATABASE_URL=target, DATA_DIR=str(tmp_path))

    assert dump(target) == dump(used)
    assert [file.read_bytes() for file in (tmp_path / "contracts").rglob("*") if file.is_file()] == [DOCUMENT]
    if name == "jsonl":
        assert "rules hold." in portal("check", DATABASE_URL=target)


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
