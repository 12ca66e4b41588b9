"""Thousands of requests made from the OpenAPI document, good and bad: the portal does what the document says.

schemathesis.toml, beside this file, says what is checked: everything.
"""

import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.conftest import API_KEY
from tests.support.serving import Connection
from tests.support.stress import sized

CONFIGURATION = Path(__file__).with_name("schemathesis.toml").read_text()
OPERATIONS = 40
EXAMPLES = sized(usual=2, full=50)


def fuzz(portal: str, scheme: str, credential: str, folder: Path) -> None:
    """Sends the requests with a credential of a security scheme; fails with what schemathesis found."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(f"{CONFIGURATION}\n[auth.openapi.{scheme}]\n{credential}\n")
    program = Path(sys.executable).with_name("schemathesis")
    arguments = ["--config-file", str(configuration), "run", f"{portal}/schema/openapi.json", "--no-color"]
    arguments += ["--max-examples", str(EXAMPLES)]
    run = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=570)
    assert run.returncode == 0, run.stdout + run.stderr
    # it did run
    assert f"Selected: {OPERATIONS}/{OPERATIONS}\n  Tested: {OPERATIONS}\n" in run.stdout
    generated = re.search(r"(\d+) generated", run.stdout)
    assert generated
    assert int(generated[1]) > sized(usual=40, full=100) * OPERATIONS


def test_a_trusted_server_meets_what_the_document_says(fuzzed_portal: str, tmp_path: Path) -> None:
    fuzz(fuzzed_portal, "apiKey", f'api_key = "{API_KEY}"', tmp_path)


def test_a_thinker_meets_what_the_document_says(fuzzed_portal: str, tmp_path: Path) -> None:
    with Connection(fuzzed_portal) as connection:
        token = connection.post("/api/presence/verify", {"token": "a token of the portal"}).body["access_token"]
    fuzz(fuzzed_portal, "token", f'bearer = "{token}"', tmp_path)
