"""Each value comes back exactly, in every format."""

from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from api.errors import PortalError
from api.exports.formats import load_rows, write_rows
from api.exports.manifest import Format
from api.exports.tables import exact_values, measure, read_tables

pytestmark = pytest.mark.slow

TYPES = {
    "t": "text", "words": "text[]", "n": "numeric", "i": "bigint", "s": "smallint", "f": "double precision",
    "b": "boolean", "at": "timestamptz", "d": "date", "u": "uuid", "bytes": "bytea", "j": "jsonb", "r": "tstzrange",
    "e": "public.mood", "span": "interval",
}  # fmt: skip

# psycopg sends text as it is, without NUL and lone surrogates, which PostgreSQL does not have
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20) | st.sampled_from(
    [
        "",
        "\\.",
        "\\N",
        "NULL",
        "null",
        '"',
        "a\n\\.\nb",
        "\r\n",
        "\t",
        ",",
        "\x01\x02",
        "{}",
        " ",
        "\ufeff",
        "\u2028",
        "'",
    ]
)
NUMBER = st.sampled_from(["0", "-0.00", "1.10", "NaN", "1e300", "1e-300", f"{10**40}.{'1' * 40}"])
JSON = st.sampled_from(
    ["null", '"null"', "[]", '{"a": null}', "9007199254740993", "1.10e-30", r'"\u0001\n\"\\ \u2028"', "[0.10, 1e200]"]
)
VALUES = {
    "t": TEXT,
    "words": st.lists(TEXT | st.none(), max_size=3),
    "n": NUMBER | st.decimals(allow_nan=False, allow_infinity=False).map(str),
    "i": st.integers(-(2**63), 2**63 - 1),
    "s": st.integers(-(2**15), 2**15 - 1),
    "f": st.floats(),
    "b": st.booleans(),
    "at": st.sampled_from(["0001-01-01Z", "9999-12-31 23:59:59.999999Z", "2026-10-25 00:30:00.000001Z"]),
    "d": st.dates(),
    "u": st.uuids(),
    "bytes": st.binary(max_size=10),
    "j": JSON,
    "r": st.sampled_from(["empty", "(,)", '["2026-10-25 00:30:00.000001Z",)']),
    "e": st.sampled_from(["so, la la", 'gr"eat', ""]),
    "span": st.sampled_from(["1 month -3 days 04:05:06.789", "-1 years", "0"]),
}
ROW = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})
ROWS = st.lists(ROW, max_size=5)


@pytest.fixture(scope="module")
def awkward(shared_database: str) -> str:
    """The URL of a database with a table of all types, which an operator could have added."""
    columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    with psycopg.connect(shared_database) as connection:
        connection.execute("create type public.mood as enum ('so, la la', 'gr\"eat', '')")
        connection.execute(
            f"create table public.awkward ({columns}, id integer generated always as identity primary key,"
            " twice bigint generated always as (id * 2) stored)".encode()
        )
    return shared_database


@pytest.mark.parametrize("name", list(Format))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
@example(rows=[dict.fromkeys(VALUES)])
def test_each_value_comes_back(awkward: str, tmp_path: Path, name: Format, rows: list[dict[str, object]]) -> None:
    come_back(awkward, tmp_path / "rows", name, rows)


@pytest.mark.parametrize("name", list(Format))
def test_times_without_an_end_and_before_christ_come_back(awkward: str, tmp_path: Path, name: Format) -> None:
    endless: list[dict[str, object]] = [{"at": "infinity", "d": "-infinity"}, {"at": "-infinity", "d": "infinity"}]
    come_back(awkward, tmp_path / "rows", name, endless)
    for column in ("at", "d"):
        old: list[dict[str, object]] = [{column: "0044-03-15 BC"}]
        if name is Format.PARQUET:
            with pytest.raises(PortalError, match=r"public\.awkward does not fit into Parquet .*0044-03-15"):
                come_back(awkward, tmp_path / "rows", name, old)
        else:
            come_back(awkward, tmp_path / "rows", name, old)


def come_back(url: str, file: Path, name: Format, rows: list[dict[str, object]]) -> None:
    """Writes rows, exports them, deletes and imports them, and asserts that they are the same."""
    file.unlink(missing_ok=True)
    everything = "select to_jsonb(a)::text, a::text from public.awkward a order by id"
    with (
        psycopg.connect(url, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
        exact_values(connection),
    ):
        [table] = [table for table in read_tables(connection) if table.table == "awkward"]
        for row in rows:
            names = sql.SQL(", ").join(map(sql.Identifier, row))
            values = sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.SQL(TYPES[column])) for column in row)
            query = sql.SQL("insert into public.awkward ({}) values ({})").format(names, values)
            connection.execute(query, list(row.values()))
        before, totals = connection.execute(everything).fetchall(), measure(connection, table)
        write_rows(connection, table, name, file)
        connection.execute("delete from public.awkward")
        load_rows(connection, table, name, file)
        assert connection.execute(everything).fetchall() == before
        assert measure(connection, table) == totals
