"""What the environment says, and what the settings make of it."""

from ipaddress import ip_network

import pytest
from pydantic import SecretStr

from api.errors import PortalError
from api.settings import ROOT, Settings, load_settings


def test_empty_means_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATA_DIR", "PORT", "SEED", "PORTAL_DIR", "TS_API_KEY", "PRESENCE_HASH_KEY"):
        monkeypatch.setenv(name, "")
    settings = Settings()
    assert (settings.database_url, settings.ts_api_key, settings.presence_hash_key) == (None, None, None)
    assert (settings.data_dir, settings.port, settings.is_seeded) == (ROOT / ".data", 8000, True)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "0")
    monkeypatch.setenv("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8,::1")
    settings = Settings()
    assert settings.seed is False
    assert settings.trusted_proxies == tuple(map(ip_network, ("127.0.0.1", "10.0.0.0/8", "::1")))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_needs_no_key(host: str) -> None:
    Settings(host=host).refuse_open_host()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "portal.example.org"])  # noqa: S104
def test_any_other_address_needs_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PortalError, match="set TS_API_KEY"):
        Settings(host=host).refuse_open_host()
    monkeypatch.setenv("TS_API_KEY", "key")
    Settings(host=host).refuse_open_host()


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"SUPABASE_URL": "https://x.supabase.co"}, "SUPABASE_URL needs SUPABASE_ANON_KEY and JWT_SECRET too"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET: .*at least 32"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS must be like"),
        ({"CORS_ORIGINS": "https://portal.example.org/"}, "CORS_ORIGINS must be like"),
        ({"CORS_ORIGINS": "https://a.example.org, b.example.org"}, "CORS_ORIGINS must be like"),
    ],
)
def test_settings_that_make_no_sense_are_named(
    environment: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PortalError, match=problem):
        load_settings()


def test_a_project_has_public_keys() -> None:
    secret = SecretStr("x" * 32)
    settings = Settings(supabase_url="https://x.supabase.co/", supabase_anon_key=secret, jwt_secret=secret)
    assert settings.jwks_url == "https://x.supabase.co/auth/v1/.well-known/jwks.json"


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    assert [name for name in Settings.model_fields if f"#{name.upper()}=" not in example] == []
