"""Thousands of valid and invalid requests from the OpenAPI document: the portal answers as the document says.

schemathesis.toml, beside this file, says what is checked: everything.
"""

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.fuzz.conftest import API_KEY
from tests.support.serving import Connection
from tests.support.stress import sized

CONFIGURATION = Path(__file__).with_name("schemathesis.toml").read_text()
OPERATIONS = 47
ALL_PHASES = "examples,coverage,fuzzing,stateful"


def fuzz(portal: str, scheme: str, credential: str, folder: Path, phases: str = ALL_PHASES, headers: str = "") -> None:
    """Sends the requests of these phases, with a credential of a security scheme; fails with the findings."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(f"headers = {{{headers}}}\n{CONFIGURATION}\n[auth.openapi.{scheme}]\n{credential}\n")
    program = Path(sys.executable).with_name("schemathesis")
    arguments = ["--config-file", str(configuration), "run", f"{portal}/schema/openapi.json", "--no-color"]
    arguments += ["--phases", phases, "--max-examples", str(sized(usual=5, full=50))]
    run = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=570)
    assert run.returncode == 0, run.stdout + run.stderr
    # requests were sent
    assert f"Selected: {OPERATIONS}/{OPERATIONS}\n  Tested: {OPERATIONS}\n" in run.stdout
    generated = re.search(r"(\d+) generated", run.stdout)
    assert generated
    assert int(generated[1]) > sized(usual=5, full=100) * OPERATIONS


# each of the callers, gateways and kinds of requests once; all combinations at full size
@pytest.mark.parametrize("gateway", sized(usual=["direct"], full=["direct", "data api"]))
def test_answers_to_a_trusted_server_conform_to_the_document(fuzzed_portal: str, tmp_path: Path) -> None:
    fuzz(fuzzed_portal, "apiKey", f'api_key = "{API_KEY}"', tmp_path, sized(usual="coverage", full=ALL_PHASES))


@pytest.mark.parametrize("gateway", sized(usual=["data api"], full=["direct", "data api"]))
def test_answers_to_a_thinker_conform_to_the_document(fuzzed_portal: str, tmp_path: Path) -> None:
    with Connection(fuzzed_portal) as connection:
        token = connection.post("/api/presence/verify", {"token": "a token of the portal"}).body["access_token"]
    fuzz(
        fuzzed_portal,
        "token",
        f'bearer = "{token}"',
        tmp_path,
        sized(usual="examples,fuzzing,stateful", full=ALL_PHASES),
    )


@pytest.mark.parametrize("gateway", sized(usual=["direct"], full=["direct", "data api"]))
def test_answers_to_a_page_conform_to_the_document(fuzzed_portal: str, database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("update private.settings set thinkers_a_session = 1000000")
    from_page = {"Sec-Fetch-Site": "same-origin"}
    with Connection(fuzzed_portal) as client:
        cookie = client.ask("GET", "/api/voucher/list", headers=from_page).headers["set-cookie"]
    fuzz(
        fuzzed_portal,
        "session",
        f'api_key = "{cookie.partition("=")[2].partition(";")[0]}"',
        tmp_path,
        sized(usual="fuzzing", full=ALL_PHASES),
        headers='"Sec-Fetch-Site" = "same-origin"',
    )
