"""The servers that replay the scenarios: real ones, reached over HTTP."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr

from api.settings import Settings
from tests.support.data_api import through_data_api
from tests.support.databases import Server
from tests.support.serving import serve

# a failed scenario reports its own requests
logging.getLogger("httpx").setLevel(logging.WARNING)


LegacyServers = Mapping[int, Mapping[str, str]]
"""For each generation the URL of each service's server; `all` is that of services not named."""


def settings_of(generation: int, folder: Path, api_key: str | None = None) -> Settings:
    """Returns the settings with which the server derives ids and counts requests like that generation."""
    second = generation == 2
    return Settings(
        host="127.0.0.1",
        portal_dir=None,
        data_dir=folder,
        ts_api_key=SecretStr(api_key) if api_key else None,
        token_secret_optional=SecretStr(""),
        presence_hash_key=SecretStr("mot-presence") if second else None,
        rate_limit="on" if second else "off",
        trusted_proxies=(ip_network("127.0.0.1"),) if second else (),
        client_address_header="CF-Connecting-IP",
        storage_url=None,
    )


@pytest.fixture(scope="package", params=["direct", "data api"])
def legacy_servers(
    request: pytest.FixtureRequest, server: Server, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LegacyServers]:
    """A server for each generation, and one for generation 2 that asks for an API key; each with its own database.

    Once with the gateway to that database, once with the gateway to a Data API on it.
    """
    with ExitStack() as running:

        def start(generation: int, api_key: str | None = None) -> str:
            folder = tmp_path_factory.mktemp(f"generation-{generation}")
            url = running.enter_context(server.database(template=migrated))
            settings = settings_of(generation, folder, api_key)
            if request.param == "direct":
                return running.enter_context(serve(settings, url))
            settings = running.enter_context(through_data_api(settings, url))
            return running.enter_context(serve(settings, None))

        yield {1: {"all": start(1)}, 2: {"all": start(2), "g2key": start(2, api_key="test-key")}}
