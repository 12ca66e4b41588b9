"""The types of the schema for supabase-js."""

from tests.support.database_types import TYPES, types
from tests.support.npm import run_node


def test_the_types_are_those_of_the_schema(database: str) -> None:
    assert TYPES.read_text() == types(database), "run: make types"


def test_the_types_fit_supabase_js() -> None:
    options = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--allowImportingTsExtensions",
    ]
    result = run_node("node_modules/typescript/bin/tsc", *options, "typed.ts", environment={})
    assert result.returncode == 0, result.stdout
