"""Nothing changes silently: each column of each table is immutable, logged when it changes, or listed with a reason."""

from pathlib import Path

import psycopg
import pytest

from tests.support.yaml_file import read_yaml

LISTED: dict[str, str | dict[str, str]] = read_yaml(Path(__file__).with_name("columns.yaml"))

# triggers with a condition count for nothing: what they leave out has a reason in the list
COLUMNS = """
select c.oid::regclass::text, a.attname, exists (
  select from pg_trigger t
  where t.tgrelid = c.oid and t.tgqual is null and t.tgenabled = 'O'
    and (t.tgattr = '' or a.attnum = any (t.tgattr))
    -- 2: before, 16: update
    and case t.tgfoid::regproc
      when 'private.tg_append_only__refuse'::regproc then t.tgtype & 18 = 18
      when 'private.tg_row__write_change'::regproc then t.tgtype & 18 = 16 and a.attname <> 'updated_at'
    end
)
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p')
  and not c.relispartition
"""


def test_every_column_is_immutable_or_logged_or_listed_with_a_reason(shared_database: str) -> None:
    with psycopg.connect(shared_database) as connection:
        connection.execute("set search_path = ''")
        columns = connection.execute(COLUMNS.encode()).fetchall()
    uncovered: dict[str, set[str]] = {}
    for table, column, is_covered in columns:
        if not is_covered:
            uncovered.setdefault(table, set()).add(column)
    listed = {
        table: uncovered.get(table, set()) if isinstance(reasons, str) else set(reasons)
        for table, reasons in LISTED.items()
    }
    assert listed == uncovered
    assert len({table for table, _, _ in columns}) > 20


@pytest.mark.parametrize("table", LISTED)
def test_a_reason_is_a_sentence(table: str) -> None:
    reasons = LISTED[table]
    for reason in [reasons] if isinstance(reasons, str) else reasons.values():
        assert len(reason.split()) >= 3, reason
