"""A database in use keeps its rows through the migrations that follow the first one."""

import shutil
from pathlib import Path

import psycopg

from api.database.migrations import MIGRATIONS, migrate
from tests.support.usage import rows, use


def test_rows_survive_the_migrations_that_follow_the_first(empty_database: str, tmp_path: Path) -> None:
    first, *following = sorted(MIGRATIONS.glob("*.sql"))
    shutil.copy(first, tmp_path)
    migrate(empty_database, tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        use(connection)
        before = rows(connection)
        assert len([table for table, found in before.items() if found]) > 15

        for file in following:
            shutil.copy(file, tmp_path)
        # until a second migration exists, test at least an invented one
        (tmp_path / "99990101000000_notes.sql").write_text(
            "alter table public.vouchers add column note text not null default 'none';"
            "alter table public.events add column note text;"
            "update public.vouchers set note = 'booked' where status = 'booked';"
        )
        migrate(empty_database, tmp_path)

        # a row may have new columns; its old columns keep their values
        after = rows(connection)
        lost = {
            table: [row for row in found if not any(row.items() <= other.items() for other in after.get(table, []))]
            for table, found in before.items()
        }
        assert {table: found for table, found in lost.items() if found} == {}
        notes = connection.execute("select id, note from public.vouchers order by id").fetchall()
        assert notes == [("given back", "none"), ("kept", "booked")]
