"""Compares the access rules of a database with those of the schema.

Access rules are roles, grants, policies, row level security, triggers, constraints, what functions do and views read,
and with whose rights they run. A restored database can have all rows and none of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from api.database import connect
from api.errors import PortalError
from api.settings import ROOT

DECLARED = ROOT / "supabase" / "access_rules.txt"
"""The rules of a freshly migrated database, one line each; written by `make migration`."""

_QUERY = Path(__file__).with_name("rules.sql")

# how PostgreSQL writes names and constants depends on these
_SETTINGS = b"""
    set local search_path = '';
    set local TimeZone = 'UTC'; set local DateStyle = 'ISO'; set local IntervalStyle = 'postgres';
    set local quote_all_identifiers = off; set local extra_float_digits = 1; set local bytea_output = 'hex';
"""

_OWN_SCHEMAS = ("private.", "stats.", "function private.", "function stats.")
_ADDITIONS = ("trigger ", "constraint ", "index ", "not null ")
_DEFINITIONS = ("body ", "reads ", "has a pgrst.", "has a constraint_exclusion", "has a jit", "has a plan_cache_mode")
_OF_OTHERS = ("public.", "function public.")


@dataclass(frozen=True, order=True)
class Rule:
    """What holds for an object, such as `grant select to authenticated` for `public.vouchers`."""

    object: str
    rule: str

    def __str__(self) -> str:
        return f"{self.object}: {self.rule}"


@dataclass(frozen=True, order=True)
class Difference:
    """A rule of the schema that the database lacks, or one that only the database has."""

    rule: Rule
    is_missing: bool

    @property
    def is_served(self) -> bool:
        """Whether an operator changed a function, view or setting of PostgREST, or added a trigger or constraint."""
        return self.rule.rule.startswith(_DEFINITIONS) or (
            not self.is_missing and self.rule.rule.startswith(_ADDITIONS)
        )

    def __str__(self) -> str:
        return f"{'missing' if self.is_missing else 'not declared'}: {self.rule}"


def read_rules(connection: psycopg.Connection) -> set[Rule]:
    """The rules of the database in all objects of the schemas public, private and stats."""
    with connection.transaction(), connection.cursor(row_factory=class_row(Rule)) as cursor:
        cursor.execute(_SETTINGS)
        return set(cursor.execute(_QUERY.read_bytes()))


def differences(connection: psycopg.Connection) -> list[Difference]:
    """What the database has less or more than the schema declares, in the order of objects.

    An object of somebody else in `public` has no rules of ours.
    """
    declared, found = _read_declared(), read_rules(connection)
    objects = {rule.object for rule in declared}
    more = {rule for rule in found - declared if rule.object in objects or rule.object.startswith(_OWN_SCHEMAS)}
    return sorted([Difference(rule, True) for rule in declared - found] + [Difference(rule, False) for rule in more])


def opened_by_others(connection: psycopg.Connection) -> list[Rule]:
    """What `anon` and `authenticated` may do with objects of somebody else in `public`, past row level security.

    A function that runs with the rights of its caller, and a view that runs with those of its reader, open nothing.
    """
    declared, found = {rule.object for rule in _read_declared()}, read_rules(connection)
    limited = {
        rule.object
        for rule in found
        if rule.rule in ("row level security", "runs with the rights of its reader")
        or rule.rule.startswith("runs with the rights of its caller")
    }
    return sorted(
        rule
        for rule in found
        if rule.object.startswith(_OF_OTHERS)
        and rule.object not in declared | limited
        and rule.rule.startswith("grant ")
        and rule.rule.endswith((" to anon", " to authenticated"))
    )


def refuse_other_rules(url: str) -> None:
    """Raises PortalError where the database lacks a rule of the schema, or grants more than the schema."""
    with connect(url) as connection:
        found = [difference for difference in differences(connection) if not difference.is_served]
    if found:
        raise PortalError(
            f"The database is not served: its access rules are not those of the schema ({_count(found)}, the first is "
            f"`{found[0]}`). `portal check` lists all; docs/backup.md says how to restore a dump."
        )


def write_declared(url: str) -> None:
    """Writes the rules of a freshly migrated database into DECLARED."""
    with connect(url) as connection:
        DECLARED.write_text("".join(f"{rule}\n" for rule in sorted(read_rules(connection))))


def _read_declared() -> set[Rule]:
    lines = (line.partition(": ") for line in DECLARED.read_text().splitlines())
    return {Rule(name, rule) for name, _, rule in lines}


def _count(found: Iterable[Difference]) -> str:
    number = len(list(found))
    return "1 difference" if number == 1 else f"{number} differences"
