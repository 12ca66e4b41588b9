"""The portal under fuzzing: it authenticates callers, and limits no rates."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.data_api import through_data_api
from tests.support.serving import serve, settings_in

# a failed run reports its own requests
logging.getLogger("httpx").setLevel(logging.WARNING)

API_KEY = "fuzz-key"


@pytest.fixture
def fuzzed_portal(gateway: str, database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of the app on the test's own database, through the gateway that the test names."""
    settings = settings_in(tmp_path, ts_api_key=SecretStr(API_KEY), rate_limit="off")
    with ExitStack() as running:
        if gateway == "direct":
            yield running.enter_context(serve(settings, database))
        else:
            settings = running.enter_context(through_data_api(settings, database))
            yield running.enter_context(serve(settings, None))
