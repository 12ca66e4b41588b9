"""What the environment says, and what the settings make of it."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from dotenv import load_dotenv
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
    monkeypatch.setenv("TS_API_KEY", "a long random text")
    Settings(host=host).refuse_open_host()


KEYS = {"SUPABASE_ANON_KEY": "key", "JWT_SECRET": "x" * 32}


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            {"SUPABASE_URL": "https://x.supabase.co"},
            "SUPABASE_URL needs SUPABASE_ANON_KEY and JWT_SECRET .or JWT_KEY_FILE. too",
        ),
        ({"SUPABASE_URL": "x.supabase.co"} | KEYS, "SUPABASE_URL: it must be a URL"),
        ({"SUPABASE_URL": "https://x.supabase.co/rest/v1/"} | KEYS, "SUPABASE_URL: .* without /rest/v1"),
        ({"SUPABASE_URL": "https://x.supabase.co:99999"} | KEYS, "SUPABASE_URL: Port out of range"),
        ({"SUPABASE_ANON_KEY": "schlüssel"}, "SUPABASE_ANON_KEY: .*ASCII"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET: .*at least 32"),
        ({"JWT_SECRET": "x" * 32 + ",short"}, "JWT_SECRET: .*at least 32"),
        ({"JWT_KEY_FILE": "/nowhere"}, "JWT_KEY_FILE: there is no file /nowhere"),
        ({"JWKS_URL": "keys.json"}, "JWKS_URL: it must be a URL"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS: it must be like"),
        ({"CORS_ORIGINS": "https://portal.example.org/"}, "CORS_ORIGINS: it must be like"),
        ({"CORS_ORIGINS": "https://a.example.org, b.example.org"}, "CORS_ORIGINS: it must be like"),
        ({"HOST": "http://127.0.0.1"}, "HOST: .* without http:// and port"),
        ({"HOST": "127.0.0.1:8000"}, "HOST: .* without http:// and port"),
        ({"DATA_DIR": "~nobody-has-this-name/data"}, "DATA_DIR: there is no user"),
        ({"PORTAL_DIR": "/nowhere"}, "PORTAL_DIR: there is no folder /nowhere"),
        ({"CLIENT_ADDRESS_HEADER": "X-Forwarded-For: "}, "CLIENT_ADDRESS_HEADER: "),
        ({"CLIENT_ADDRESS_HEADER": "X Forwarded"}, "CLIENT_ADDRESS_HEADER: it must be the name of a header"),
        ({"STORAGE_URL": "bucket"}, "STORAGE_URL: it must be like s3://bucket/prefix"),
        ({"STORAGE_URL": "s3:/bucket"}, "STORAGE_URL: it must be like s3://bucket/prefix"),
        ({"DATABASE_URL": "postgres//u:SECRET@h/db"}, "DATABASE_URL: it is no PostgreSQL URL"),
        ({"DATABASE_URL": "postgresql://u:SECRET%ZZ@h/db"}, "DATABASE_URL: write % as %25"),
        ({"DATABASE_URL": "postgresql://u:SECRET%C3@h/db"}, "DATABASE_URL: write % as %25"),
        ({"DATABASE_URL": "postgresql://u:SECRET x@h/db"}, "DATABASE_URL: write a space as %20"),
        ({"DATABASE_URL": "postgresql://u:SECRET@x@h/db"}, "DATABASE_URL: write @ in the password as %40"),
        ({"DATABASE_URL": "postgresql://u:SECRET/x@h/db"}, "DATABASE_URL: .*write / in the password as %2F"),
        ({"DATABASE_URL": "postgresql://u:SECRET@h/db?pgbouncer=true"}, "DATABASE_URL: .*no parameter pgbouncer"),
    ],
)
def test_settings_that_make_no_sense_are_named(
    environment: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PortalError, match=problem) as refusal:
        load_settings()
    assert "SECRET@" not in str(refusal.value)
    assert "SECRET%" not in str(refusal.value)


@pytest.mark.parametrize(
    ("mistake", "problem"),
    [
        ("{}\n", "white space or a newline"),
        (" {}", "white space or a newline"),
        ("{}\r", "white space or a newline"),
        ('"{}"', "quotation marks"),
        ("\u200b{}", "cannot be seen"),
        ("x\u00a0{}", "cannot be seen"),
        ("\udcff{}", "cannot be seen"),
    ],
    ids=["newline", "blank", "carriage return", "quotes", "no width", "no break", "no UTF-8"],
)
def test_what_nobody_sees_in_a_setting_is_named(mistake: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*(name.upper() for name in Settings.model_fields), "AWS_SECRET_ACCESS_KEY"):
        with monkeypatch.context() as environment:
            environment.setenv(name, mistake.format("x" * 32))
            with pytest.raises(PortalError, match=f"{name}: it .*{problem}"):
                load_settings()


@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_an_ipv6_address_may_have_its_brackets(host: str) -> None:
    settings = Settings(host=host)
    assert (settings.host, settings.is_loopback_only) == ("::1", True)


def test_an_origin_has_no_default_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example.org:443,http://b.example.org:80,http://[::1]:3000")
    assert load_settings().cors_origins == ("https://a.example.org", "http://b.example.org", "http://[::1]:3000")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:100%25@h:5432/db?sslmode=require",
        "postgres://u:p%40ss@a:1,b:2/db",
        "postgresql:///db?host=/tmp",
        "postgresql://[::1]/db",
        "host=h dbname=db",
    ],
)
def test_what_libpq_reads_is_a_database(url: str) -> None:
    assert Settings(database_url=url).database_url == url


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.settings.load_dotenv", load_dotenv)
    monkeypatch.setattr("api.settings.HOME", tmp_path)
    monkeypatch.setenv("PORT", "1")  # so that the environment is put back
    monkeypatch.delenv("PORT")
    (tmp_path / ".env").write_text("PORT=9000\n", "utf-8-sig")
    assert load_settings().port == 9000
    (tmp_path / ".env").write_text("PORT=9000\n", "utf-16")
    with pytest.raises(PortalError, match=r"\.env cannot be read"):
        load_settings()


def test_a_relative_path_is_relative_to_what_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.settings.load_dotenv", load_dotenv)
    monkeypatch.setattr("api.settings.HOME", tmp_path)
    for name in ("DATA_DIR", "PORTAL_DIR", "JWT_KEY_FILE"):
        monkeypatch.setenv(name, "")  # so that the environment is put back
        monkeypatch.delenv(name)
    (tmp_path / "pages").mkdir()
    (tmp_path / "keys.json").touch()
    (tmp_path / ".env").write_text("DATA_DIR=data\nPORTAL_DIR=./pages\nJWT_KEY_FILE=keys.json\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for settings in (load_settings(), load_settings()):
        paths = (settings.data_dir, settings.portal_dir, settings.jwt_key_file)
        assert paths == (tmp_path / "data", tmp_path / "pages", tmp_path / "keys.json")
    monkeypatch.setenv("DATA_DIR", "data")
    assert load_settings().data_dir == tmp_path / "elsewhere" / "data"
    monkeypatch.delenv("DATA_DIR")
    (tmp_path / ".env").write_text("DATA_DIR=~nobody-has-this-name/data\n")
    with pytest.raises(PortalError, match="there is no user"):
        load_settings()


def test_a_project_has_public_keys() -> None:
    secret = SecretStr("x" * 32)
    settings = Settings(supabase_url="https://x.supabase.co/", supabase_anon_key=secret, jwt_secret=(secret,))
    assert settings.jwks_url == "https://x.supabase.co/auth/v1/.well-known/jwks.json"


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    assert [name for name in Settings.model_fields if f"#{name.upper()}=" not in example] == []
