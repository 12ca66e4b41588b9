"""docs/import.md explains every reason for which an import can reject a row."""

import re

import psycopg

from api.imports.source import TABLES
from api.settings import ROOT

CREATED = (*TABLES, "thinkers", "rooms")
"""The tables that an import writes."""


def test_every_reason_is_explained_and_no_other(shared_database: str) -> None:
    with psycopg.connect(shared_database) as connection:
        sources: dict[str, str] = dict(
            connection.execute(
                "select proname, prosrc from pg_proc"
                " where pronamespace in ('private'::regnamespace, 'public'::regnamespace)"
            ).fetchall()
        )
        triggers = connection.execute(
            "select p.proname from pg_trigger t join pg_proc p on p.oid = t.tgfoid"
            # of insert or update
            " where t.tgrelid = any (%s::regclass[]) and not t.tgisinternal and t.tgtype::integer & 20 > 0",
            ([f"public.{table}" for table in CREATED],),
        ).fetchall()
    # the functions of imports, the triggers of what they write, and what all these call
    reached = {name for name in sources if name.startswith("import_")} | {name for (name,) in triggers}
    while (
        more := {
            called for name in reached for called in re.findall(r"(?:private|public)\.(\w+)\(", sources[name])
        }.intersection(sources)
        - reached
    ):
        reached |= more

    raised = {
        reason
        for name in reached
        for reason in re.findall(r"sqlstate '(?:IM|PT)\d+' using\s+message = '(\w+)'", sources[name])
    }
    named = set(re.findall(r"then '(\w+)'", sources["import_reason"]))
    refused = set(re.findall(r"then ''(\w+)''", sources["import_write"]))
    refused |= set(re.findall(r"r\.content\), '(\w+)'", sources["import_refuse_erased"]))
    assert (len(raised) > 5, len(named) > 5, len(refused)) == (True, True, 3)

    table = (ROOT / "docs" / "import.md").read_text().partition("| reason | meaning |")[2].partition("\n\n")[0]
    lines = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    explained = {reason for line in lines for reason in re.findall(r"`(\w+)`", line)}
    assert explained == raised | named | refused
