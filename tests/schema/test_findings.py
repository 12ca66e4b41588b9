"""What checks the schema finds nothing but what `supabase/allowed_findings.toml` allows by name."""

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import psycopg

from api.settings import ROOT

ALLOWED = ROOT / "supabase" / "allowed_findings.toml"


def test_lint_finds_only_what_is_allowed(checked: str, npm_programs: Path, tmp_path: Path) -> None:
    found = run_cli(npm_programs, tmp_path, checked, "lint", "--schema", "public,private", "--level", "warning")
    assert sorted(f"{of['function']}: {issue['message']}" for of in found for issue in of["issues"]) == allowed("lint")


def test_advisors_find_only_what_is_allowed(checked: str, npm_programs: Path, tmp_path: Path) -> None:
    found = run_cli(npm_programs, tmp_path, checked, "advisors", "--level", "warn")
    assert sorted(f"{finding['name']}: {finding['detail']}" for finding in found) == allowed("advisors")


def test_trigger_functions_are_sound(checked: str) -> None:
    # `supabase db lint` leaves them out, because they are checked with a table
    with psycopg.connect(checked) as connection:
        triggers = connection.execute(
            "select tgname, plpgsql_check_function(tgfoid, tgrelid, oldtable => tgoldtable, newtable => tgnewtable)"
            " from pg_trigger where not tgisinternal"
        ).fetchall()
    assert triggers == []


def run_cli(programs: Path, folder: Path, url: str, check: str, *options: str) -> list[dict[str, Any]]:
    """What `supabase db <check>` finds."""
    # the CLI takes a socket's folder only beside the name of a host, and else wants TLS from any other machine
    target = url.replace("@/", "@localhost/") + ("&" if "?" in url else "?") + "sslmode=disable"
    result = subprocess.run(
        [programs / "supabase", "db", check, f"--db-url={target}", "--output-format", "json", *options],
        cwd=folder,
        env=os.environ | {"SUPABASE_TELEMETRY_DISABLED": "1", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    findings: list[dict[str, Any]] = json.loads(result.stdout)["results"]
    return findings


def allowed(check: str) -> list[str]:
    """The findings that are allowed; each must have a reason."""
    entries: list[dict[str, str]] = tomllib.loads(ALLOWED.read_text())[check]
    assert all(entry["reason"] for entry in entries)
    return sorted(entry["finding"] for entry in entries)
