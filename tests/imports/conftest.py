"""An empty database for each test, and the command line on it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from tests.cli.running import run
from tests.support.databases import empty

Take: TypeAlias = Callable[..., dict[str, Any]]


@pytest.fixture
def connection(shared_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """A connection to a database without rows, on which the commands work, too."""
    empty(shared_database)
    monkeypatch.setenv("DATABASE_URL", shared_database)
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def take(connection: psycopg.Connection) -> Take:
    """Imports a file, and returns the report; the exit code must say whether rows were rejected."""

    def take(file: Path, *options: str) -> dict[str, Any]:
        result = run("import", "d1", str(file), "--json", *options)
        report: dict[str, Any] = json.loads(result.stdout)
        rejected = sum(part["rejected"] + part["missing"] for part in report["tables"].values())
        assert result.exit_code == (3 if rejected else 0)
        return report

    return take
