"""The portal that is fuzzed: it asks for an API key, and counts no requests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.serving import serve, settings_in


@pytest.fixture(params=["direct"])
def fuzzed_portal(database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of the app on the test's own database, through each gateway."""
    settings = settings_in(tmp_path, ts_api_key=SecretStr("fuzz-key"), rate_limit="off")
    with serve(settings, database) as url:
        yield url
