"""Finds rows that refer to no row, which a restore without triggers can leave behind."""

import psycopg
from psycopg import sql

_REFERENCES = """
    select c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text,
      array(
        select (a.attname, b.attname)
        from unnest(c.conkey, c.confkey) as pair (here, there)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = pair.here
        join pg_attribute b on b.attrelid = c.confrelid and b.attnum = pair.there
      )
    from pg_constraint c
    where c.contype = 'f' and c.conparentid = 0 and c.connamespace::regnamespace::text in ('public', 'private')
    order by 1
"""


def dangling_references(connection: psycopg.Connection) -> dict[str, int]:
    """The foreign keys with rows that refer to no row, and the number of these rows."""
    numbers: dict[str, int] = {}
    for name, table, other, columns in connection.execute(_REFERENCES).fetchall():
        pairs = [(sql.Identifier("a", here), sql.Identifier("b", there)) for here, there in columns]
        query = sql.SQL("select count(*) from {} a where {} and not exists (select from {} b where {})").format(
            sql.SQL(table),
            sql.SQL(" and ").join(sql.SQL("{} is not null").format(here) for here, _ in pairs),
            sql.SQL(other),
            sql.SQL(" and ").join(sql.SQL("{} = {}").format(*pair) for pair in pairs),
        )
        row = connection.execute(query).fetchone()
        assert row
        if row[0]:
            numbers[name] = row[0]
    return numbers
