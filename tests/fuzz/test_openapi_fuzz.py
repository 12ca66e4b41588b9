"""Thousands of requests made from the OpenAPI document, good and bad: the portal does what the document says.

schemathesis.toml, beside this file, says what is checked: everything.
"""

import re
import subprocess
import sys
from pathlib import Path

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
OPERATIONS = 31


def test_every_operation_does_what_the_document_says(fuzzed_portal: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    document = f"{fuzzed_portal}/schema/openapi.json"
    arguments = ["--config-file", str(CONFIGURATION), "run", document, "--no-color"]
    run = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=570)
    assert run.returncode == 0, run.stdout + run.stderr
    # it did run
    assert f"Selected: {OPERATIONS}/{OPERATIONS}\n  Tested: {OPERATIONS}\n" in run.stdout
    generated = re.search(r"(\d+) generated", run.stdout)
    assert generated
    assert int(generated[1]) > 100 * OPERATIONS
