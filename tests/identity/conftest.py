"""A server that authenticates callers, and helpers that sign tokens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.serving import Connection, serve, settings_in
from tests.support.signing import KEY, SECRET

EC_KEY = generate_private_key(SECP256R1())
RSA_KEY = generate_rsa_key(public_exponent=65537, key_size=2048)
ED_KEY = Ed25519PrivateKey.generate()


@dataclass
class KeyServer:
    """A server of public keys, as a Supabase project has one. It answers while `answers` is set."""

    url: str = ""
    requests: int = 0
    keys: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    answers: Event = field(default_factory=Event)

    @contextmanager
    def failing(self, status: int = 200, keys: list[dict[str, Any]] | None = None) -> Iterator[None]:
        """Answers with this status and these keys during the block."""
        before = self.status, self.keys
        self.status, self.keys = status, self.keys if keys is None else keys
        try:
            yield
        finally:
            self.status, self.keys = before

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Answers nothing during the block."""
        self.answers.clear()
        try:
            yield
        finally:
            self.answers.set()


@pytest.fixture(scope="module")
def key_server() -> Iterator[KeyServer]:
    """Serves the public halves of EC_KEY (kid `ec`), RSA_KEY (`rsa`) and ED_KEY (`ed`)."""
    served = KeyServer(
        keys=[
            ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True) | {"kid": "ec", "alg": "ES256", "use": "sig"},
            RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "rsa", "alg": "RS256", "use": "sig"},
            OKPAlgorithm.to_jwk(ED_KEY.public_key(), as_dict=True) | {"kid": "ed", "alg": "EdDSA", "use": "sig"},
        ]
    )

    served.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests += 1
            served.answers.wait()
            self.send_response(served.status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            is_page = self.path.endswith(".html")
            with suppress(ConnectionError):
                self.wfile.write(b"<p>Sorry</p>" if is_page else json.dumps({"keys": served.keys}).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def keyed_url(shared_database: str, key_server: KeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app that requires a key or a token."""
    folder = tmp_path_factory.mktemp("keyed")
    settings = settings_in(folder, ts_api_key=KEY, jwt_secret=SECRET, jwks_url=key_server.url, rate_limit="off")
    with serve(settings, shared_database) as url:
        yield url


@pytest.fixture
def keyed(keyed_url: str) -> Iterator[Connection]:
    """A connection to that app."""
    with Connection(keyed_url) as connection:
        yield connection
