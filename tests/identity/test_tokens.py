"""Which tokens are valid."""

import json
import logging
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurve, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.actor import thinker_id
from api.errors import PortalError
from api.settings import load_settings
from api.tokens import Tokens
from tests.identity.conftest import EC_KEY, ED_KEY, RSA_KEY, KeyServer
from tests.support.parallel import ask_at_once
from tests.support.serving import Answer, Connection, serve, settings_in
from tests.support.signing import KEY, SECRET, bearer, claims, signed

LIST = "/api/voucher/list"
INVALID = {"ok": False, "error": "invalid token"}


def part(value: object) -> str:
    """A part of a token: JSON in base64."""
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}."


def confused() -> str:
    """Returns a token signed with the public key as if it were a secret, which must be refused."""
    public = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, _, _ = jwt.encode(claims(), "x" * 32, algorithm="HS256", headers={"kid": "rsa"}).rpartition(".")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(head.encode(), public)
    return f"{head}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def with_key(algorithm: str, kid: str, **changes: object) -> str:
    key = {"ES256": EC_KEY, "RS256": RSA_KEY, "EdDSA": ED_KEY}[algorithm]
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers={"kid": kid})  # type: ignore[arg-type]


NOW = int(time.time())
FORGED = {
    "nothing": "x",
    "two parts": "a.b",
    "expired": signed(exp=NOW - 1),
    "no expiry": signed(exp=None),
    "expiry in words": signed(exp="tomorrow"),
    "not yet valid": signed(nbf=NOW + 3600),
    "valid from no time on": signed(nbf="now"),
    "wrong audience": signed(aud="portal"),
    "no audience": signed(aud=None),
    "no algorithm": unsigned("none"),
    "no algorithm, in capitals": unsigned("NONE"),
    "not signed": unsigned("HS256"),
    "wrong secret": signed("another secret that nobody else has told the portal"),
    "another algorithm of the secret": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
    "the public key as the secret": confused(),
    "role anon": signed(role="anon"),
    "role service_role": signed(role="service_role"),
    "role postgres": signed(role="postgres"),
    "no role": signed(role=None),
    "no subject": signed(sub=None),
    "subject no UUID": signed(sub="anna"),
    "subject of another thinker": signed(sub=str(thinker_id("anna")), public_id="ben"),
    "subject of a thinker without its uid": signed(sub=str(thinker_id("anna"))),
    "uid of another kind": signed(sub=str(thinker_id("5")), public_id=5),
    "unknown key": with_key("ES256", "nobody"),
    "wrong key": jwt.encode(claims(), generate_private_key(SECP256R1()), algorithm="ES256", headers={"kid": "ec"}),
    "key of another kind": with_key("ES256", "rsa"),
    "too long": signed(padding="x" * 8192),
    "expired, with a key": with_key("ES256", "ec", exp=NOW - 1),
    "service_role, with a key": with_key("ES256", "ec", role="service_role"),
}


def ask(connection: Connection, token: str) -> Answer:
    return connection.ask("GET", LIST, headers=bearer(token))


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_an_invalid_token_is_refused(keyed: Connection, token: str) -> None:
    answer = ask(keyed, token)
    assert (answer.status, answer.body) == (401, INVALID)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "token",
    [
        signed(),
        signed(nbf=NOW + 15, iat=NOW + 15),
        signed(aud=["authenticated", "more"]),
        signed(sub=str(thinker_id("anna")), public_id="anna"),
        with_key("ES256", "ec"),
        with_key("RS256", "rsa"),
        with_key("EdDSA", "ed"),
    ],
    ids=["HS256", "issued by a clock that is ahead", "two audiences", "of the portal", "ES256", "RS256", "EdDSA"],
)
def test_a_valid_token_is_accepted(keyed: Connection, token: str) -> None:
    assert ask(keyed, token).status == 200


def test_without_public_keys_only_the_secret_counts(shared_database: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, ts_api_key=KEY, jwt_secret=SECRET)
    with serve(settings, shared_database) as url, Connection(url) as connection:
        assert [ask(connection, token).status for token in (signed(), with_key("ES256", "ec"))] == [200, 401]


def test_a_token_that_cannot_be_checked_now_is_not_called_invalid(shared_database: str, tmp_path: Path) -> None:
    # nothing listens on port 1
    settings = settings_in(tmp_path, ts_api_key=KEY, jwt_secret=SECRET, jwks_url="http://127.0.0.1:1/jwks.json")
    with serve(settings, shared_database) as url, Connection(url) as connection:
        assert ask(connection, with_key("ES256", "ec")).status == 503
        assert ask(connection, signed()).status == 200


def test_keys_that_cannot_be_fetched_are_not_fetched_by_every_request(
    shared_database: str, key_server: KeyServer, tmp_path: Path
) -> None:
    # a page without keys
    url = key_server.url.replace("jwks.json", "page.html")
    settings = settings_in(tmp_path, ts_api_key=KEY, jwt_secret=SECRET, jwks_url=url)
    before = key_server.requests
    with serve(settings, shared_database) as portal:
        answers = ask_at_once(portal, *[lambda c: ask(c, with_key("ES256", "ec"))] * 20)
    assert {answer.status for answer in answers} == {503}
    # none where a slow machine did not reach the server in time
    assert key_server.requests <= before + 1


def test_unknown_keys_are_not_fetched_repeatedly(keyed: Connection, key_server: KeyServer) -> None:
    ask(keyed, with_key("ES256", "ec"))
    before = key_server.requests
    for number in range(20):
        assert ask(keyed, with_key("ES256", f"unknown-{number}")).status == 401
    assert key_server.requests <= before + 1


def private_key(kid: str, curve: EllipticCurve) -> dict[str, object]:
    """A key as `supabase gen signing-key` writes it."""
    key: dict[str, object] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(generate_private_key(curve)))
    return key | {"kid": kid, "use": "sig", "alg": "ES256", "key_ops": ["sign", "verify"]}


def test_of_several_secrets_the_first_signs_and_all_prove(shared_database: str, tmp_path: Path) -> None:
    other = "the secret before the first one of 32 characters"
    settings = settings_in(tmp_path, ts_api_key=KEY, jwt_secret=(SECRET, other))
    with serve(settings, shared_database) as url, Connection(url) as connection:
        assert [ask(connection, signed(secret)).status for secret in (SECRET, other, "x" * 32)] == [200, 200, 401]
        issued = connection.post("/api/presence/verify", {"token": "t"}).body["access_token"]
    assert jwt.decode(issued, SECRET, algorithms=["HS256"], audience="authenticated")["role"] == "authenticated"


def test_a_key_file_signs_and_others_verify_by_the_public_keys(shared_database: str, tmp_path: Path) -> None:
    new, old = private_key("new", SECP256R1()), private_key("old", SECP256R1())
    (tmp_path / "keys.json").write_text(json.dumps([new, old]))
    settings = settings_in(tmp_path, ts_api_key=KEY, jwt_key_file=tmp_path / "keys.json")
    with serve(settings, shared_database) as url, Connection(url) as connection:
        issued = connection.post("/api/presence/verify", {"token": "t"}).body["access_token"]
        published = connection.get("/.well-known/jwks.json").body
        by_old = jwt.encode(claims(), jwt.PyJWK(old), algorithm="ES256", headers={"kid": "old"})
        by_stranger = jwt.encode(claims(), generate_private_key(SECP256R1()), algorithm="ES256", headers={"kid": "old"})
        statuses = [ask(connection, token).status for token in (issued, by_old, by_stranger, signed())]
    # no secret is left that a token could be signed with
    assert statuses == [200, 200, 401, 401]
    assert not (tmp_path / "jwt-secret").exists()
    assert [set(key) for key in published["keys"]] == [{"kty", "crv", "x", "y", "kid", "alg", "use"}] * 2
    key = next(key for key in jwt.PyJWKSet.from_dict(published).keys if key.key_id == "new")
    assert jwt.get_unverified_header(issued) == {"alg": "ES256", "kid": "new", "typ": "JWT"}
    assert jwt.decode(issued, key, algorithms=["ES256"], audience="authenticated")["role"] == "authenticated"


def test_a_file_without_usable_keys_is_refused(tmp_path: Path) -> None:
    key = private_key("a", SECP256R1())
    unusable: list[object] = [
        [],
        {},
        "key",
        None,
        {name: value for name, value in key.items() if name != "kid"},
        {name: value for name, value in key.items() if name != "d"},
        private_key("b", SECP384R1()),
        [key, {"kty": "oct", "k": "c2VjcmV0", "kid": "c"}],
    ]
    file = tmp_path / "keys.json"
    for content in (*map(json.dumps, unusable), "-----BEGIN PRIVATE KEY-----", ""):
        file.write_text(content)
        with pytest.raises(PortalError, match="JWT_KEY_FILE"):
            Tokens(settings_in(tmp_path, jwt_key_file=file))


def test_the_token_of_verify_is_signed_for_the_data_api(keyed: Connection) -> None:
    answer = keyed.post("/api/presence/verify", {"token": "Anna's token"})
    assert (answer.body["token_type"], answer.body["expires_in"]) == ("bearer", 3600)
    assert answer.headers["cache-control"] == "no-store"
    read = jwt.decode(answer.body["access_token"], SECRET, algorithms=["HS256"], audience="authenticated")
    assert read["sub"] == str(thinker_id(answer.body["thinker_id"]))
    assert (read["public_id"], read["role"]) == (answer.body["thinker_id"], "authenticated")
    assert read["exp"] - read["iat"] == 3600
    assert ask(keyed, answer.body["access_token"]).status == 200


def test_without_a_project_secret_one_is_stored_with_the_data(shared_database: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, ts_api_key=KEY)
    tokens = []
    for _ in range(2):
        with serve(settings, shared_database) as url, Connection(url) as connection:
            tokens.append(connection.post("/api/presence/verify", {"token": "t"}).body["access_token"])
            # tokens from before the restart are valid too
            assert [ask(connection, token).status for token in tokens] == [200] * len(tokens)
    file = tmp_path / "jwt-secret"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text()) >= 32
    assert list(tmp_path.glob(".jwt-secret*")) == []


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff" * 40, "ü".encode() * 40])
def test_an_invalid_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "jwt-secret").write_bytes(content)
    with pytest.raises(PortalError, match="holds no secret"):
        Tokens(settings_in(tmp_path))


def test_secrets_never_appear_in_the_log(
    keyed: Connection, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    token = signed(sub=str(uuid4()))
    for headers in ({"X-TS-APIKEY": KEY}, bearer(token), bearer("forged"), {"X-TS-APIKEY": "wrong key"}):
        keyed.ask("GET", LIST, headers=headers)
        keyed.ask("POST", "/api/voucher/issue", raw=b"{", headers=headers)
    for secret in (KEY, SECRET, token, "wrong key"):
        assert secret not in caplog.text
    for name in ("TS_API_KEY", "JWT_SECRET", "SUPABASE_ANON_KEY", "PRESENCE_HASH_KEY", "TOKEN_SECRET_OPTIONAL"):
        monkeypatch.setenv(name, SECRET)
    assert SECRET not in repr(load_settings())
