"""Generated D1 databases with all kinds of mess: every row is taken or rejected whole, and all rules hold."""

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.imports.source import TABLES, stage
from tests.cli.running import run
from tests.imports.legacy import ROWS, SCHEMA, Value
from tests.support.acting import one
from tests.support.charging import violations
from tests.support.databases import empty
from tests.support.stress import sized

pytestmark = pytest.mark.slow

TIMES = [
    "2026-03-01T10:00:00.000Z", "2026-03-01T12:00:00.000Z", "2026-03-02T10:00:00Z", "2026-03-02T11:00", "2026-03-03",
    "2030-02-30T09:00:00.000Z", "0000-01-01", "tomorrow", "infinity", "1772359200000.0", "2026-03-02T09:30:00,5+01:00",
]  # fmt: skip
WORDS = [
    "booked", "cancelled", "issued", "BOOKED", "consumed", "expired", "open", "offered", "accepted", "logged", "in",
    "v-1", "v-2", "b-1", "app-1", "ct-1", "contract", "anna", "zoe", "eur", "JPY", "XXX", "",
]  # fmt: skip
JSONS = ["{}", "null", "[1]", '"\\u0000"', '{"a": 1e400}', "{broken", "[" * 70 + "]" * 70]

values: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from([*TIMES, *WORDS, *JSONS]),
    st.none(),
    st.text(max_size=300),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 120),
    st.floats(),
    st.sampled_from([0.1, 0.1 + 0.2, 99.5, 1e-7, 1e22, 12000.0]),
    st.binary(max_size=20),
)


@st.composite
def changed_rows(draw: st.DrawFn) -> tuple[str, dict[str, Value]]:
    """A row of a table in which some columns are anything."""
    table = draw(st.sampled_from(TABLES))
    columns = draw(st.lists(st.sampled_from(list(ROWS[table])), max_size=3))
    return table, ROWS[table] | {"id": draw(st.sampled_from(["1", "2", "3", "v-2"]))} | {
        column: draw(values) for column in columns
    }


@settings(
    max_examples=sized(6, 200),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(changed_rows(), min_size=5, max_size=40))
def test_every_row_is_taken_or_rejected_whole(
    connection: psycopg.Connection, shared_database: str, rows: list[tuple[str, dict[str, Value]]]
) -> None:
    empty(shared_database)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "d1.sqlite"
        with closing(sqlite3.connect(file)) as database, database:
            # SQLite's own rules would refuse what a database without them may have
            database.executescript(SCHEMA.replace(" not null", "").replace(" primary key", ""))
            for table, row in [*ROWS.items(), *rows]:
                marks = ", ".join("?" * len(row))
                database.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", tuple(row.values()))
            database.row_factory = sqlite3.Row
            database.text_factory = lambda text: text.decode(errors="surrogateescape")
            sources = {
                (table, stage(dict(row)).content)
                for table in TABLES
                for row in database.execute(f"select * from {table}").fetchall()
            }
        first = json.loads(run("import", "d1", str(file), "--json").stdout)["tables"]
        again = json.loads(run("import", "d1", str(file), "--json").stdout)["tables"]

    for table in TABLES:
        part, repeated = first[table], again[table]
        assert part["read"] == part["written"] + part["unchanged"] + part["rejected"]
        assert part["updated"] == part["missing"] == part["changed_here"] == 0
        assert part["source_checksum"] == part["target_checksum"] == repeated["target_checksum"]
        # what was refused for a row that came later is taken now
        assert repeated["updated"] == 0
        assert repeated["unchanged"] + repeated["written"] + repeated["rejected"] == part["read"]
    whole = {
        (table, json.dumps(one(connection, "select private.import_kept(%s::jsonb)", content.decode()), sort_keys=True))
        for table, content in sources
    }
    rejects = connection.execute("select legacy_table, content, reason from private.import_rejects").fetchall()
    assert {(table, json.dumps(content, sort_keys=True)) for table, content, _ in rejects} <= whole
    assert all(reason for *_, reason in rejects)
    assert violations(connection) == {}
