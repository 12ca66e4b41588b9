"""Tokens of a third party whose server of keys fails, hangs, or changes its keys."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from api import public_keys
from api.errors import ApiError
from api.tokens import Tokens
from tests.identity.conftest import EC_KEY, ED_KEY, KeyServer
from tests.support.serving import settings_in
from tests.support.signing import SECRET, claims
from tests.support.waiting import wait_until

KNOWN = jwt.encode(claims(), EC_KEY, algorithm="ES256", headers={"kid": "ec"})
FORGED = jwt.encode(claims(), EC_KEY, algorithm="ES256", headers={"kid": "unknown"})


@pytest.fixture
def tokens(key_server: KeyServer, tmp_path: Path) -> Tokens:
    """Reads tokens signed with the keys of key_server, none of which is known yet."""
    return Tokens(settings_in(tmp_path, jwt_secret=SECRET, jwks_url=key_server.url))


@pytest.fixture
def without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are fetched again as soon as something speaks for it."""
    monkeypatch.setattr(public_keys, "RETRY_SECONDS", 0)


async def read(tokens: Tokens, token: str) -> str:
    try:
        return "valid" if await tokens.read(token) else "invalid"
    except ApiError as error:
        return error.code


FAILURES: dict[str, Callable[[KeyServer], Any]] = {
    "error": lambda server: server.failing(500),
    "redirect": lambda server: server.failing(302),
    "no keys": lambda server: server.failing(keys=[]),
    "no usable keys": lambda server: server.failing(keys=[{"kty": "?"}]),
    "keys of another use": lambda server: server.failing(keys=[{**server.keys[0], "use": "enc"}]),
}


@pytest.mark.usefixtures("without_delay")
@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_known_keys_stay_valid_while_their_server_fails(
    key_server: KeyServer, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, fail: Callable[[KeyServer], Any]
) -> None:
    async def use() -> None:
        assert await read(tokens, KNOWN) == "valid"
        with fail(key_server):
            for _ in range(3):
                # an unknown key is fetched, in vain
                assert await read(tokens, FORGED) == "token_keys_away"
                assert await read(tokens, KNOWN) == "valid"
        assert await read(tokens, FORGED) == "invalid"
        # fetched long ago
        monkeypatch.setattr(public_keys, "FRESH_SECONDS", 0)
        with fail(key_server):
            assert await read(tokens, KNOWN) == "valid"

    asyncio.run(use())


def test_known_keys_do_not_wait_for_unknown_ones(key_server: KeyServer, tokens: Tokens) -> None:
    async def use() -> None:
        assert await read(tokens, KNOWN) == "valid"
        tokens._keys._fetched_at -= public_keys.RETRY_SECONDS  # type: ignore[union-attr]
        before = key_server.requests
        with key_server.hanging():
            forged = asyncio.create_task(read(tokens, FORGED))
            await asyncio.to_thread(wait_until, lambda: key_server.requests > before)
            assert await read(tokens, KNOWN) == "valid"
            assert not forged.done()
        assert await forged == "invalid"

    asyncio.run(use())


@pytest.mark.usefixtures("without_delay")
def test_a_server_that_hangs_is_not_waited_for(
    key_server: KeyServer, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        assert await read(tokens, KNOWN) == "valid"
        # only from now on, for the first answer may take longer on a busy machine
        monkeypatch.setattr(public_keys, "FETCH_SECONDS", 0.1)
        with key_server.hanging():
            assert await read(tokens, FORGED) == "token_keys_away"
            assert await read(tokens, KNOWN) == "valid"

    asyncio.run(use())


@pytest.mark.usefixtures("without_delay")
def test_keys_follow_a_rotation(key_server: KeyServer, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Ed25519PrivateKey.generate()
    rotated = OKPAlgorithm.to_jwk(new.public_key(), as_dict=True) | {"kid": "new", "alg": "EdDSA"}
    signed = jwt.encode(claims(), new, algorithm="EdDSA", headers={"kid": "new"})
    old = jwt.encode(claims(), ED_KEY, algorithm="EdDSA", headers={"kid": "ed"})

    async def use() -> None:
        assert [await read(tokens, old), await read(tokens, signed)] == ["valid", "invalid"]
        with key_server.failing(keys=[*key_server.keys, rotated]):
            assert [await read(tokens, old), await read(tokens, signed)] == ["valid", "valid"]
        # a key that is revoked is refused as soon as the keys are fetched again
        monkeypatch.setattr(public_keys, "FRESH_SECONDS", 0)
        assert [await read(tokens, old), await read(tokens, signed)] == ["valid", "invalid"]

    asyncio.run(use())
