"""supabase/types/database.ts: the types of tables and functions for supabase-js. `make types` writes it."""

from api.database.migrations import migrate
from api.settings import ROOT
from tests.support.databases import run_server
from tests.support.npm import run_node

TYPES = ROOT / "supabase" / "types" / "database.ts"


def types(url: str) -> str:
    """What the file should be: the types of this migrated database, as `supabase gen types` writes them."""
    result = run_node("types.mjs", environment={"DATABASE_URL": url})
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
    return result.stdout


def main() -> None:
    """Write the file again."""
    with run_server() as server, server.database() as url:
        migrate(url)
        TYPES.parent.mkdir(exist_ok=True)
        TYPES.write_text(types(url))


if __name__ == "__main__":
    main()
