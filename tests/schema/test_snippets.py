"""The saved queries of `supabase/snippets`, and those of docs/dashboards.md, run as a role that sees figures only."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.database.migrations import migrate, seed
from api.settings import ROOT
from tests.support.databases import Server

SNIPPETS = sorted((ROOT / "supabase" / "snippets").glob("*.sql"))
PAGE = (ROOT / "docs" / "dashboards.md").read_text()
EXAMPLES = [block for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL) if block.startswith("select")]


@pytest.fixture(scope="module")
def reader(server: Server) -> Iterator[psycopg.Connection]:
    """Reads a database with the demo data, with no more rights than Metabase or Grafana."""
    with server.database() as url:
        migrate(url)
        seed(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("set role stats_reader")
            yield connection


@pytest.mark.parametrize("file", SNIPPETS, ids=lambda file: file.stem)
def test_a_snippet_returns_rows(reader: psycopg.Connection, file: Path) -> None:
    cursor = reader.execute(file.read_bytes())
    assert cursor.fetchall()
    assert cursor.description


@pytest.mark.parametrize("file", SNIPPETS, ids=lambda file: file.stem)
def test_a_snippet_describes_itself(reader: psycopg.Connection, file: Path) -> None:
    first = file.read_text().partition("\n")[0]
    assert re.fullmatch(r"-- [A-Z].*\.", first)
    # the columns of its chart exist
    if chart := re.search(r"Chart: (\w+), (\w+)\.", first):
        described = reader.execute(file.read_bytes()).description or []
        assert set(chart.groups()) <= {column.name for column in described}


def test_each_dashboard_has_snippets() -> None:
    assert {file.stem.partition(" - ")[0] for file in SNIPPETS} == {
        "Presence",
        "Vouchers",
        "Mortgages",
        "Telbank",
        "Fees",
        "System",
    }


@pytest.mark.parametrize("query", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_page_returns_rows(reader: psycopg.Connection, query: str) -> None:
    # as Grafana writes them
    query = query.replace("$__timeFrom()", "'2000-01-01T00:00:00Z'").replace("$__timeTo()", "'2100-01-01T00:00:00Z'")
    assert reader.execute(query.encode()).fetchall()


def test_the_page_names_every_view(reader: psycopg.Connection) -> None:
    views = {name for (name,) in reader.execute("select viewname from pg_views where schemaname = 'stats'")}
    table = PAGE.partition("## Over HTTP")[0]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)))) == views
    assert len(EXAMPLES) == 2
