"""The servers that the scenarios are asked of: real ones, reached over HTTP."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from pydantic import SecretStr

from api.settings import Settings
from tests.databases import Server


@dataclass(frozen=True)
class LegacyServer:
    """The server that stands for a generation: the URL for each service, `all` for those not named."""

    generation: int
    base_url: Mapping[str, str]


@contextmanager
def serve(settings: Settings, database_url: str) -> Iterator[str]:
    """Runs the app on a free port of this machine; yields its URL."""
    from api.app import create_app

    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_app(settings, database_url)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", proxy_headers=False))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def settings_of(generation: int, folder: Path, api_key: str | None = None) -> Settings:
    """What makes the server derive ids and count requests as that generation did."""
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
        storage_url=None,
    )


@pytest.fixture(scope="module")
def legacy_server(
    request: pytest.FixtureRequest, server: Server, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LegacyServer]:
    """A server with an empty database; beside it, for generation 2, one that asks for an API key."""
    generation: int = request.param
    folder = tmp_path_factory.mktemp(f"generation-{generation}")
    with server.database(template=migrated) as url, serve(settings_of(generation, folder), url) as base_url:
        if generation == 1:
            yield LegacyServer(generation, {"all": base_url})
            return
        with (
            server.database(template=migrated) as key_url,
            serve(settings_of(generation, folder, api_key="test-key"), key_url) as key_base_url,
        ):
            yield LegacyServer(generation, {"all": base_url, "g2key": key_base_url})
