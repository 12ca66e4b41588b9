"""The command `portal check`: the invariants of the stored data, its references, and the access rules."""

import typer
from rich.console import Console

from api.cli.owner import console, owner_connection
from api.cli.tables import Row, Table
from api.cli.texts import visible
from api.database.references import dangling_references
from api.database.rules import differences, opened_by_others

app = typer.Typer()


@app.command()
def check() -> None:
    """Check the stored data and the access rules.

    The invariants are rules about bookings, charges, settlements and events that must always hold. Every reference must
    have its row, also where a restore left the foreign keys out. Roles, grants, policies, row level security, triggers,
    constraints, functions and views must be those of the schema, and other objects open nothing to clients of the Data
    API. The exit code is 1 if a rule is broken.

    \b
    $ portal check
    """
    with owner_connection() as connection, Console(stderr=True).status("Checking"):
        found = differences(connection)
        # first, because the views of a half restored database may fail
        opened = opened_by_others(connection)
        for line in [*found, *(f"not of the portal: {rule}" for rule in opened)]:
            console.print(visible(str(line)), style="red")
        rules = connection.execute("select name, violations, meaning from stats.invariants").fetchall()
        dangling = dangling_references(connection)
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
            "Roles, grants, policies, row level security, triggers, constraints, functions and views that are missing "
            "or not declared.",
        ),
        (
            "other_objects_open_nothing",
            len(opened),
            "Tables, views and functions in public that are not the portal's, and that clients of the Data API may use "
            "past row level security.",
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
