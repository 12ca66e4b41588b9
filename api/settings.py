"""The settings, read from the environment and from `.env`; `.env.example` explains each."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from dotenv import load_dotenv
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
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


_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?")

MIN_SECRET_LENGTH = 32
"""Characters: HS256 needs a key as long as its hash."""

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]


class Settings(BaseSettings):
    """One field per setting. An empty environment variable counts as not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    database_url: str | None = Field(default=None, repr=False)
    supabase_url: str | None = None
    supabase_anon_key: SecretStr | None = None
    data_dir: Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())] = HOME / ".data"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    seed: bool | None = None
    portal_dir: Path | None = None
    ts_api_key: SecretStr | None = None
    jwt_secret: Annotated[SecretStr, Field(min_length=MIN_SECRET_LENGTH)] | None = None
    jwks_url: str | None = None
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    token_secret_optional: SecretStr = SecretStr("")
    presence_hash_key: SecretStr | None = None
    rate_limit: Literal["on", "off", "auto"] = "auto"
    trusted_proxies: Annotated[Networks, NoDecode, BeforeValidator(_split)] = ()
    storage_url: str | None = None

    @model_validator(mode="after")
    def _complete_supabase(self) -> Self:
        if self.supabase_url is not None:
            if self.supabase_anon_key is None or self.jwt_secret is None:
                raise ValueError("SUPABASE_URL needs SUPABASE_ANON_KEY and JWT_SECRET too")
            self.supabase_url = self.supabase_url.rstrip("/")
            self.jwks_url = self.jwks_url or f"{self.supabase_url}/auth/v1/.well-known/jwks.json"
        if not all(_ORIGIN.fullmatch(origin) for origin in self.cors_origins):
            raise ValueError("CORS_ORIGINS must be like https://portal.example.org, comma separated")
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

    def refuse_open_host(self) -> None:
        """Raise PortalError if other machines could reach a server that trusts every request."""
        if self.ts_api_key is None and not self.is_loopback_only:
            raise PortalError(
                f"HOST={self.host} can be reached from other machines and every request would be trusted: "
                "set TS_API_KEY to a long random text, or leave HOST at 127.0.0.1."
            )


def load_settings() -> Settings:
    """The settings of this process; the environment overrides `.env`.

    `.env` is loaded into the environment, where the storage library finds its AWS_* variables too.
    Raises PortalError with the names of the invalid variables.
    """
    load_dotenv(HOME / ".env")
    try:
        return Settings()
    except ValidationError as error:
        problems = (
            ": ".join(
                (*(str(name).upper() for name in problem["loc"][:1]), problem["msg"].removeprefix("Value error, "))
            )
            for problem in error.errors()
        )
        raise PortalError(f"The settings make no sense: {'; '.join(problems)}.") from None
