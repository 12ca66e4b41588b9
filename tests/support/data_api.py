"""The Data API over a test's database: PostgREST where there is one, else a double of it on Node.js."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from typing import TypeAlias
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit, urlunsplit
from urllib.request import urlopen

import jwt
import psycopg
from pydantic import SecretStr

from api.actor import Actor, Role
from api.settings import Settings
from api.tokens import AUDIENCE
from tests.support.npm import NODE, install

JWT_SECRET = "a secret of the tests that has 32 characters"

Environment: TypeAlias = dict[str, str]


def token(
    role: Role, uid: str | None = None, lifetime: int = 3600, secret: str = JWT_SECRET, audience: str = AUDIENCE
) -> str:
    """An access token; one with a negative lifetime has expired."""
    claims = Actor(role, uid).claims() | {"aud": audience, "exp": int(time.time()) + lifetime}
    return jwt.encode(claims, secret, algorithm="HS256")


@contextmanager
def run_data_api(database_url: str, jwt_secret: str = JWT_SECRET) -> Iterator[str]:
    """Yields the URL of a project: its Data API is <URL>/rest/v1.

    PostgREST is a container of the image in TEST_POSTGREST_IMAGE, or the `postgrest` on the PATH; else there is the
    double, tests/node/data_api.mjs. Takes the URL of the database as superuser.
    """
    install()
    settings = {
        "PGRST_DB_URI": _as_authenticator(database_url),
        "PGRST_DB_SCHEMAS": "public",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_MAX_ROWS": "1000",
        "PGRST_JWT_SECRET": jwt_secret,
        "PGRST_JWT_AUD": AUDIENCE,
        # no LISTEN: it would keep databases from being dropped or copied
        "PGRST_DB_CHANNEL_ENABLED": "false",
    }
    with ExitStack() as stack:
        if image := os.environ.get("TEST_POSTGREST_IMAGE"):
            rest_url = stack.enter_context(_container(image, settings, database_url))
        elif program := shutil.which("postgrest"):
            rest_url = stack.enter_context(_program(program, settings))
        else:
            yield stack.enter_context(_node("data_api.mjs", settings | {"OWNER_URI": database_url}))
            return
        # a project has its Data API under /rest/v1, PostgREST itself has not
        yield stack.enter_context(_node("rest_prefix.mjs", {"REST_URL": rest_url}))


@contextmanager
def through_data_api(settings: Settings, database_url: str) -> Iterator[Settings]:
    """Yields the settings of an app that reaches the database through a Data API only."""
    with run_data_api(database_url) as url:
        keys = {"supabase_anon_key": SecretStr(token("anon")), "jwt_secret": (SecretStr(JWT_SECRET),)}
        yield settings.model_copy(update={"supabase_url": url, **keys})


def data_api_name() -> str:
    """What run_data_api would run."""
    if image := os.environ.get("TEST_POSTGREST_IMAGE"):
        return f"the image {image}"
    return shutil.which("postgrest") or "a double of PostgREST: @supabase/lite"


def _as_authenticator(database_url: str) -> str:
    """The URL as PostgREST connects: as a role that may nothing but become another."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter role authenticator password 'test'")
    parts = urlsplit(database_url)
    return urlunsplit(parts._replace(netloc=f"authenticator:test@{parts.netloc.rpartition('@')[2]}"))


@contextmanager
def _node(script: str, environment: Environment) -> Iterator[str]:
    """Runs a script of tests/node that prints its URL and ends when its input does."""
    process = subprocess.Popen(
        ["node", script],  # noqa: S607
        cwd=NODE,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url, f"{script} did not start"
        yield url


@contextmanager
def _program(program: str, settings: Environment) -> Iterator[str]:
    addresses = _addresses()
    with subprocess.Popen([program], env=os.environ | settings | addresses, stderr=subprocess.DEVNULL) as process:
        try:
            yield _when_ready(addresses)
        finally:
            process.terminate()


@contextmanager
def _container(image: str, settings: Environment, database_url: str) -> Iterator[str]:
    from testcontainers.core.container import DockerContainer

    addresses = _addresses()
    # in this machine's network, and where the database listens on a socket only, with its folder
    container = DockerContainer(image).with_kwargs(network_mode="host", user="root")
    for name, value in (settings | addresses).items():
        container.with_env(name, value)
    for folder in parse_qs(urlsplit(database_url).query).get("host", []):
        container.with_volume_mapping(folder, folder, "rw")
    with container:
        yield _when_ready(addresses)


def _addresses() -> Environment:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as admin:
        return {
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_SERVER_PORT": str(server.getsockname()[1]),
            "PGRST_ADMIN_SERVER_PORT": str(admin.getsockname()[1]),
        }


def _when_ready(addresses: Environment) -> str:
    """The URL of PostgREST as soon as it can answer."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{addresses['PGRST_ADMIN_SERVER_PORT']}/ready"):
                return f"http://127.0.0.1:{addresses['PGRST_SERVER_PORT']}"
        except (URLError, HTTPException, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
