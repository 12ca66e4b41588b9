"""docs/data-api.md: every example prints what the page shows."""

import re
from pathlib import Path

from tests.clients.conftest import ANON_KEY
from tests.support.data_api import token
from tests.support.npm import run_node

PAGE = Path(__file__).parents[2] / "docs" / "data-api.md"
SEPARATOR = "=" * 80


def test_every_example_prints_what_the_page_shows(project: str) -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    (_, connection), *examples = blocks
    assert [kind for kind, _ in blocks] == ["js", *["js", "text"] * 13]
    programs, outputs = ([text for _, text in examples[start::2]] for start in (0, 1))
    print_separator = f'console.log("{SEPARATOR}");\n'
    result = run_node(
        "--input-type=module",
        environment={
            "SUPABASE_URL": project,
            "SUPABASE_ANON_KEY": ANON_KEY,
            "ACCESS_TOKEN": token("authenticated", "ben"),
        },
        program=connection + print_separator.join(f"{{\n{program}}}\n" for program in programs),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split(f"{SEPARATOR}\n") == outputs
