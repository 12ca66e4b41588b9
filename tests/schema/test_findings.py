"""The checkers of the schema find only what `supabase/allowed_findings.toml` allows by name."""

import json
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.settings import ROOT
from tests.support import npm

pytestmark = pytest.mark.slow

ALLOWED = ROOT / "supabase" / "allowed_findings.toml"


def test_lint_finds_only_what_is_allowed(checked: str, tmp_path: Path) -> None:
    found = findings(tmp_path, checked, "lint", "--schema", "public,private", "--level", "warning")
    assert sorted(f"{of['function']}: {issue['message']}" for of in found for issue in of["issues"]) == allowed("lint")


def test_advisors_find_only_what_is_allowed(checked: str, tmp_path: Path) -> None:
    found = findings(tmp_path, checked, "advisors", "--level", "warn")
    assert sorted(f"{finding['name']}: {finding['detail']}" for finding in found) == allowed("advisors")


def test_trigger_functions_are_sound(checked: str) -> None:
    # `supabase db lint` leaves them out, because they can only be checked together with a table
    with psycopg.connect(checked) as connection:
        triggers = connection.execute(
            "select tgname, plpgsql_check_function(tgfoid, tgrelid, oldtable => tgoldtable, newtable => tgnewtable)"
            " from pg_trigger where not tgisinternal"
        ).fetchall()
    assert triggers == []


def findings(folder: Path, url: str, check: str, *options: str) -> list[dict[str, Any]]:
    """What `supabase db <check>` finds."""
    arguments = ["db", check, f"--db-url={npm.cli_url(url)}", "--output-format", "json", *options]
    result = npm.run_cli(*arguments, folder=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["results"]
    return found


def allowed(check: str) -> list[str]:
    """The findings that are allowed; each must have a reason."""
    entries: list[dict[str, str]] = tomllib.loads(ALLOWED.read_text())[check]
    assert all(entry["reason"] for entry in entries)
    return sorted(entry["finding"] for entry in entries)
