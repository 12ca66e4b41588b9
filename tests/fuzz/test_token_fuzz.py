"""Tokens that nobody issued: they prove nobody, and cause no server error."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from api.actor import Actor, thinker_id
from api.http.callers import TOKEN_COOKIE
from api.settings import Settings
from api.tokens import Tokens
from tests.support.serving import Connection, serve, settings_in
from tests.support.stress import sized

SECRET = "the secret of this project with at least 32 bytes long"
VICTIM = "anna"

fuzz = settings(
    max_examples=sized(usual=60, full=200),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# claims close to valid ones, and others
claims = st.dictionaries(
    st.sampled_from(["sub", "public_id", "role", "aud", "exp", "nbf", "iat", "iss", "jti", "app_metadata"]),
    json_values
    | st.sampled_from([VICTIM, str(thinker_id(VICTIM)), "authenticated", "anon", "service_role", 10**400])
    | st.integers(-5000, 5000).map(lambda seconds: time.time() + seconds),
)
headers = st.dictionaries(
    st.sampled_from(["alg", "typ", "kid", "jku", "jwk", "x5u", "crit", "b64", "zip", "cty"]),
    json_values
    | st.sampled_from(["none", "None", "HS256", "hs256", "HS512", "RS256", "ES256", "EdDSA", "../../dev/null"]),
)


@pytest.fixture(scope="module")
def portal_settings(shared_folder: Path) -> Settings:
    return settings_in(shared_folder, ts_api_key=SecretStr("fuzz-key"), jwt_secret=SECRET, rate_limit="off")


@pytest.fixture(scope="module")
def client(portal_settings: Settings, shared_database: str) -> Iterator[Connection]:
    with serve(portal_settings, shared_database) as url, Connection(url) as connection:
        yield connection


@pytest.fixture(scope="module")
def good(portal_settings: Settings) -> str:
    """Returns a token that proves the victim."""
    return Tokens(portal_settings).issue(Actor("authenticated", VICTIM))


def status(client: Connection, token: str | bytes, path: str = "/api/voucher/bookings") -> set[int]:
    """Returns the status for the token, as a Bearer token and as a cookie."""
    sent = token.encode() if isinstance(token, str) else token
    given = {"Authorization": b"Bearer " + sent}, {"Cookie": TOKEN_COOKIE.encode() + b"=" + sent}
    return {client.ask("GET", path, headers=headers).status for headers in given}


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_the_valid_token_is_accepted(client: Connection, good: str) -> None:
    assert status(client, good) == {200}


@fuzz
@given(claims=claims)
def test_odd_claims_signed_with_the_secret_cause_no_server_error(client: Connection, claims: dict[str, object]) -> None:
    token = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded(claims)}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(token.encode(), SECRET.encode())
    signed = f"{token}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    is_complete = claims.get("role") == claims.get("aud") == "authenticated" and {"sub", "exp"} <= claims.keys()
    assert status(client, signed) <= ({200, 401} if is_complete else {401})
    if not isinstance(claims.get("app_metadata"), dict):
        assert status(client, signed, "/api/admin/events") <= {401, 403}


@fuzz
@given(header=headers, claims=claims, signature=st.binary(max_size=64))
def test_a_token_not_signed_with_the_secret_proves_nobody(
    client: Connection, header: dict[str, object], claims: dict[str, object], signature: bytes
) -> None:
    valid = {"role": "authenticated", "aud": "authenticated", "sub": str(thinker_id(VICTIM)), "exp": time.time() + 60}
    signed = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    for body in (claims, valid | claims):
        assert status(client, f"{encoded(header)}.{encoded(body)}.{signed}") == {401}


@fuzz
@given(data=st.data())
def test_a_token_with_one_changed_character_proves_nobody(client: Connection, good: str, data: st.DataObject) -> None:
    # the last character of a part may contain unused bits
    ends = {place - 1 for place, character in enumerate(good + ".") if character == "."}
    place = data.draw(st.sampled_from([place for place in range(len(good)) if place not in ends]))
    others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    other = data.draw(st.sampled_from([character for character in others if character != good[place]]))
    assert status(client, good[:place] + other + good[place + 1 :]) == {401}


@fuzz
@given(token=st.binary(min_size=1, max_size=200).filter(lambda token: not set(token) & set(b"\0\r\n")))
def test_garbage_proves_nobody(client: Connection, token: bytes) -> None:
    # the web server itself refuses what is not a valid header
    assert status(client, token) <= {400, 401}


@pytest.mark.parametrize("size", [8_000, 60_000])
def test_a_long_token_proves_nobody(client: Connection, good: str, size: int) -> None:
    assert status(client, good + "A" * size) <= {400, 401, 431}


def test_a_deeply_nested_token_proves_nobody(client: Connection) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 4_500).decode()
    assert status(client, f"{deep}.{deep}.AAAA") == {401}
