"""supabase-js against the Data API; the tests themselves are JavaScript."""

from tests.clients.conftest import ANON_KEY
from tests.support.data_api import token
from tests.support.npm import run_node


def test_supabase_js(project: str) -> None:
    environment = {
        "SUPABASE_URL": project,
        "SUPABASE_ANON_KEY": ANON_KEY,
        "ANNAS_TOKEN": token("authenticated", "anna"),
        "BENS_TOKEN": token("authenticated", "ben"),
        "EXPIRED_TOKEN": token("authenticated", "ben", lifetime=-60),
    }
    result = run_node("--test", "supabase_js.test.mjs", environment=environment)
    assert result.returncode == 0, result.stdout + result.stderr
