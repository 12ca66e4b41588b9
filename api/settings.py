"""The settings, read from the environment and from `.env`; `.env.example` explains each."""

import os
import re
import unicodedata
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import psycopg
from dotenv import load_dotenv
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api.errors import PortalError

_PACKAGE = Path(__file__).resolve().parent
_BUNDLE = _PACKAGE / "bundle"
"""Only in an installed wheel: a copy of the SQL files that the server needs; pyproject.toml lists them."""

ROOT = _BUNDLE if _BUNDLE.is_dir() else _PACKAGE.parent
"""The folder that holds `sql/` and `supabase/`: the checkout, or the bundle of an installed wheel."""

HOME = Path.cwd() if _BUNDLE.is_dir() else ROOT
"""The folder of `.env` and `.data`: the checkout, or for an installed wheel the current folder."""


def _split(value: object) -> object:
    """The parts of a comma separated text; any other value unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_ORIGIN = re.compile(r"(https?)://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")
_BYTE_ORDER_MARK = "\ufeff"
"""Some editors begin a file with it; then it is part of the first name in `.env`."""

_PATHS = {"DATA_DIR", "PORTAL_DIR", "JWT_KEY_FILE"}

DEFAULT_PORTS = {"http": "80", "https": "443"}

MIN_SECRET_LENGTH = 32
"""Characters: HS256 needs a key as long as its hash."""


def _check_text(text: str) -> None:
    """Raises ValueError for what nobody sees in a text, and what a program that reads files in its own way left there.

    A header, for one, cannot hold a newline: a key that ends with one would never be the key that a client sends.
    """
    if text != text.strip():
        raise ValueError("it begins or ends with white space or a newline: remove it")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        raise ValueError("it is in quotation marks: remove them")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or (c.isspace() and c != " ") for c in text):
        raise ValueError("it holds a character that cannot be seen: type it again")


def _host(host: str) -> str:
    """An address or a name, in lower case; an IPv6 address without the brackets that it has in a URL."""
    host = host.lower()
    if re.fullmatch(r"\[.*\]", host):
        host = host[1:-1]
    try:
        ip_address(host)
    except ValueError:
        if not re.fullmatch(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?", host):
            raise ValueError("it must be an address or a name, without http:// and port") from None
    return host


def _origin(origin: str) -> str:
    """An origin as browsers write it: without the default port."""
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:
        raise ValueError("it must be like https://portal.example.org, comma separated")
    return origin.removesuffix(f":{DEFAULT_PORTS[parts[1]]}")


def _folder(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except RuntimeError:
        raise ValueError(f"there is no user for the {path.parts[0]} in it") from None


def _existing_folder(path: Path) -> Path:
    if not _folder(path).is_dir():
        raise ValueError(f"there is no folder {path}")
    return _folder(path)


def _existing_file(path: Path) -> Path:
    if not _folder(path).is_file():
        raise ValueError(f"there is no file {path}")
    return _folder(path)


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in url:
        raise ValueError("it must be a URL like https://project.supabase.co")
    if parts.port == 0:
        raise ValueError("there is no port 0")
    return url


def _project(url: str) -> str:
    """The URL of a project, without the slash at its end."""
    url = _web_address(url).rstrip("/")
    if re.search(r"[?#]|/(rest|auth)/v1$", url):
        raise ValueError("it must be the address of the project, without /rest/v1")
    return url


def _ascii(key: SecretStr) -> SecretStr:
    """Raises ValueError for a key that no header can hold."""
    if not key.get_secret_value().isascii():
        raise ValueError("it holds other characters than ASCII")
    return key


def _header(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise ValueError("it must be the name of a header, such as X-Forwarded-For")
    return name


def _store(url: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+://[^\s/?#]+(/[^\s?#]*)?", url):
        raise ValueError("it must be like s3://bucket/prefix")
    return url


def _postgresql_url(url: str) -> str:
    """Checks what libpq reads from a URL. No message repeats a part of it, for that may be of the password."""
    try:
        parts = conninfo_to_dict(url)
    except UnicodeError:
        raise ValueError("write % as %25, for it begins the code of a character in a URL") from None
    except psycopg.ProgrammingError as error:
        unknown = re.search(r'invalid (?:URI query parameter|connection option): "?(\w+)', str(error))
        if unknown is not None:
            raise ValueError(f"PostgreSQL knows no parameter {unknown[1]}: remove it from the URL") from None
        if "spaces" in str(error):
            raise ValueError("write a space as %20") from None
        if "percent" in str(error):
            raise ValueError("write % as %25, for it begins the code of a character in a URL") from None
        raise ValueError("it is no PostgreSQL URL, like postgresql://user:password@host:5432/database") from None
    if "@" in str(parts.get("host", "")):
        raise ValueError("write @ in the password as %40")
    if not re.fullmatch(r"\d*(,\d*)*", str(parts.get("port", ""))):
        raise ValueError("the port is no number; write / in the password as %2F")
    return url


Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]


class Settings(BaseSettings):
    """One field per setting. An empty environment variable counts as not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    database_url: Annotated[str, AfterValidator(_postgresql_url)] | None = Field(default=None, repr=False)
    database_read_url: Annotated[str, AfterValidator(_postgresql_url)] | None = Field(default=None, repr=False)
    supabase_url: Annotated[str, AfterValidator(_project)] | None = None
    supabase_anon_key: Annotated[SecretStr, AfterValidator(_ascii)] | None = None
    data_dir: Annotated[Path, AfterValidator(_folder)] = HOME / ".data"
    host: Annotated[str, AfterValidator(_host)] = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int | None = Field(default=None, ge=1, le=64)
    seed: bool | None = None
    portal_dir: Annotated[Path, AfterValidator(_existing_folder)] | None = None
    ts_api_key: SecretStr | None = None
    jwt_secret: Annotated[
        tuple[Annotated[SecretStr, Field(min_length=MIN_SECRET_LENGTH)], ...], NoDecode, BeforeValidator(_split)
    ] = ()
    jwt_key_file: Annotated[Path, AfterValidator(_existing_file)] | None = None
    sessions: bool = True
    session_days: int = Field(default=180, ge=1, le=400)
    claim_known_ids: bool = False
    shared_tokens: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = (
        SecretStr("mot-shared-token-v1"),
    )
    jwks_url: Annotated[str, AfterValidator(_web_address)] | None = None
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)] = ()
    token_secret_optional: SecretStr = SecretStr("")
    presence_hash_key: SecretStr | None = None
    rate_limit: Literal["on", "off", "auto"] = "auto"
    trusted_proxies: Annotated[Networks, NoDecode, BeforeValidator(_split)] = ()
    client_address_header: Annotated[str, AfterValidator(_header)] = "X-Forwarded-For"
    request_timeout: int = Field(default=20, ge=1, le=3600)
    log_level: Annotated[Literal["info", "warning", "error"], BeforeValidator(_lower)] = "info"
    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(_web_address)] | None = None
    stop_delay: int = Field(default=0, ge=0, le=3600)
    storage_url: Annotated[str, AfterValidator(_store)] | None = None
    min_free_mib: int = Field(default=1024, ge=0)
    import_api_key: Annotated[SecretStr, AfterValidator(_ascii)] | None = None
    import_bucket_token: Annotated[SecretStr, AfterValidator(_ascii)] | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _check(cls, value: object) -> object:
        if isinstance(value, str):
            _check_text(value)
        return value

    @model_validator(mode="after")
    def _complete_supabase(self) -> Self:
        if self.supabase_url is not None:
            if self.supabase_anon_key is None or not (self.jwt_secret or self.jwt_key_file):
                raise ValueError("SUPABASE_URL needs SUPABASE_ANON_KEY and JWT_SECRET (or JWT_KEY_FILE) too")
            self.jwks_url = self.jwks_url or f"{self.supabase_url}/auth/v1/.well-known/jwks.json"
        return self

    @property
    def has_only_data_api(self) -> bool:
        """Whether the database is only reachable through a project's Data API."""
        return self.supabase_url is not None and self.database_url is None

    @property
    def is_loopback_only(self) -> bool:
        """Whether only this machine can reach `host`."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_seeded(self) -> bool:
        """SEED; by default only the embedded database gets demo data."""
        return self.database_url is None if self.seed is None else self.seed

    @property
    def is_rate_limited(self) -> bool:
        """RATE_LIMIT; auto means off for a server without a key that only this machine can reach."""
        if self.rate_limit == "auto":
            return self.ts_api_key is not None or not self.is_loopback_only
        return self.rate_limit == "on"

    @property
    def has_sessions(self) -> bool:
        """SESSIONS; on a server without a key every request is trusted, and needs no session."""
        return self.sessions and self.ts_api_key is not None

    def is_shared(self, token: str) -> bool:
        """Whether SHARED_TOKENS names a token: everybody has it."""
        return any(token == shared.get_secret_value() for shared in self.shared_tokens)

    def refuse_open_host(self) -> None:
        """Raise PortalError if other machines could reach a server that trusts every request."""
        if self.ts_api_key is None and not self.is_loopback_only:
            raise PortalError(
                f"HOST={self.host} can be reached from other machines and every request would be trusted: "
                "set TS_API_KEY to a long random text, or leave HOST at 127.0.0.1."
            )


def load_settings() -> Settings:
    """The settings of this process; the environment overrides `.env`.

    `.env` is loaded into the environment, where the storage library finds its AWS_* variables too; its relative paths
    are relative to its folder. Raises PortalError with the names of the invalid variables.
    """
    given = set(os.environ)
    try:
        load_dotenv(HOME / ".env")
    except (UnicodeError, OSError) as error:
        raise PortalError(f"{HOME / '.env'} cannot be read: it must be a file of UTF-8.") from error
    for name in [name for name in os.environ if name.startswith(_BYTE_ORDER_MARK)]:
        os.environ.setdefault(name.removeprefix(_BYTE_ORDER_MARK), os.environ.pop(name))
    for name in _PATHS - given:
        # what is refused because of how it begins must go on beginning so
        if re.match(r"[^~\s'\"]", path := os.environ.get(name, "")):
            os.environ[name] = str(HOME / path)
    problems = []
    for name, value in os.environ.items():
        if name.startswith("AWS_"):
            try:
                _check_text(value)
            except ValueError as problem:
                problems.append(f"{name}: {problem}")
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [
            ": ".join(
                (*(str(name).upper() for name in problem["loc"][:1]), problem["msg"].removeprefix("Value error, "))
            )
            for problem in error.errors()
        ]
    if problems:
        raise PortalError(f"The settings make no sense: {'; '.join(problems)}.")
    return settings
