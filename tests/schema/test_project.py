"""The Supabase project as a whole: supabase/config.toml, and the CLI's commands on this repository as it is."""

import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.database.migrations import apply_platform, status
from api.database.rules import differences
from api.http.upload import MAX_FILE_BYTES
from api.settings import ROOT
from tests.support import npm
from tests.support.acting import one
from tests.support.supabase import STORAGE, USERS

pytestmark = pytest.mark.slow

CONFIG = tomllib.loads((ROOT / "supabase" / "config.toml").read_text())


def keys(table: dict[str, object], path: str = "") -> Iterator[str]:
    """The keys of a table with their paths: `api.max_rows`."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from keys(value, f"{path}{name}.")
        else:
            yield path + name


def test_every_key_is_known_to_the_cli(tmp_path: Path) -> None:
    """The CLI says nothing of a key that it does not know."""
    assert npm.run_cli("init", "--yes", folder=tmp_path).returncode == 0
    written = (tmp_path / "supabase" / "config.toml").read_text()
    # what it explains is in comments, with the bucket "images" as an example
    known = set(keys(tomllib.loads(re.sub(r"^# (\[|[a-z_]+ = )", r"\1", written, flags=re.MULTILINE))))
    ours = {key.replace("storage.buckets.contracts.", "storage.buckets.images.") for key in keys(CONFIG)}
    assert ours - known == set()


def test_the_figures_are_those_of_the_portal(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert CONFIG["api"]["max_rows"] == one(connection, "select private.page_rows(null)")
    assert CONFIG["storage"]["buckets"]["contracts"]["file_size_limit"] == f"{MAX_FILE_BYTES // 2**20}MiB"


def test_nothing_private_is_shown() -> None:
    assert CONFIG["api"]["schemas"] == ["public"]
    assert CONFIG["storage"]["buckets"]["contracts"]["public"] is False


def test_push_and_reset_make_a_project_with_demo_data(empty_database: str, tmp_path: Path) -> None:
    for name in ("supabase", "sql"):
        shutil.copytree(ROOT / name, tmp_path / name)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        apply_platform(connection)
        connection.execute(f"{USERS};{STORAGE}")
        for command in (["db", "push", "--include-seed"], ["db", "reset"]):
            result = npm.run_cli(*command, "--yes", f"--db-url={npm.cli_url(empty_database)}", folder=tmp_path)
            assert result.returncode == 0, result.stdout + result.stderr
            assert {migration.state for migration in status(empty_database)} == {"applied"}
            assert one(connection, "select count(*) from public.vouchers where id = 'v-demo-consulting'") == 1
            assert differences(connection) == []
