"""The command `portal check`: the invariants of the stored data, its references, and the access rules."""

import psycopg
import typer
from psycopg import sql
from rich.console import Console

from api.cli.owner import console, owner_connection
from api.cli.tables import Row, Table
from api.database.rules import differences

app = typer.Typer()

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


@app.command()
def check() -> None:
    """Check the stored data and the access rules.

    The invariants are rules about bookings, charges, settlements and events that must always hold. Every reference must
    have its row, also where a restore left the foreign keys out. Roles, grants, policies, row level security, triggers
    and constraints must be those of the schema. The exit code is 1 if a rule is broken.

    \b
    $ portal check
    """
    with owner_connection() as connection, Console(stderr=True).status("Checking"):
        found = differences(connection)
        # first, because the views of a half restored database may fail
        for difference in found:
            console.print(str(difference), style="red")
        rules = connection.execute("select name, violations, meaning from stats.invariants").fetchall()
        dangling = _dangling_references(connection)
    rules += [
        (
            "references_exist",
            sum(dangling.values()),
            ", ".join(f"{name} ({number})" for name, number in dangling.items())
            or "Rows that refer to a row which does not exist.",
        ),
        (
            "access_rules_are_those_of_the_schema",
            len(found),
            "Roles, grants, policies, row level security, triggers and constraints that are missing or not declared.",
        ),
    ]
    Table(console, "rule", "state", "violations", numbers={"violations"}, note="what breaks it").print(
        Row((name, "broken" if violations else "holds", str(violations)), meaning, "red" if violations else "")
        for name, violations, meaning in rules
    )
    broken = sum(violations > 0 for _, violations, _ in rules)
    if broken:
        console.print(f"{broken} of {len(rules)} rules are broken.", style="red")
        raise typer.Exit(1)
    console.print(f"All {len(rules)} rules hold.", style="green")


def _dangling_references(connection: psycopg.Connection) -> dict[str, int]:
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
