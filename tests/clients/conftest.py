"""A project with the scene, and the four Python clients."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

import httpx
import pytest
from postgrest import AsyncPostgrestClient, SyncPostgrestClient
from supabase import AsyncClientOptions, ClientOptions, acreate_client, create_client

from tests.clients.scene import set_up
from tests.support.data_api import run_data_api, token

ANON_KEY = token("anon")

# the clients have the same methods, but no common type
Query: TypeAlias = Callable[[Any], Any]


class Answer(Protocol):
    """The result of a query: any JSON."""

    data: Any
    count: int | None


Client: TypeAlias = Callable[[str, str, Query], Answer]


@pytest.fixture(scope="module")
def project(shared_database: str) -> Iterator[str]:
    """The URL of a project with the scene."""
    set_up(shared_database)
    with run_data_api(shared_database) as url:
        yield url


def _supabase(url: str, access_token: str, query: Query) -> Answer:
    with httpx.Client() as session:
        client = create_client(url, ANON_KEY, ClientOptions(httpx_client=session))
        client.postgrest.auth(access_token)
        answer: Answer = query(client).execute()
    return answer


def _supabase_async(url: str, access_token: str, query: Query) -> Answer:
    async def ask() -> Answer:
        async with httpx.AsyncClient() as session:
            client = await acreate_client(url, ANON_KEY, AsyncClientOptions(httpx_client=session))
            client.postgrest.auth(access_token)
            answer: Answer = await query(client).execute()
        return answer

    return asyncio.run(ask())


def _postgrest(url: str, access_token: str, query: Query) -> Answer:
    with SyncPostgrestClient(f"{url}/rest/v1") as client:
        answer: Answer = query(client.auth(access_token)).execute()
    return answer


def _postgrest_async(url: str, access_token: str, query: Query) -> Answer:
    async def ask() -> Answer:
        async with AsyncPostgrestClient(f"{url}/rest/v1") as client:
            answer: Answer = await query(client.auth(access_token)).execute()
        return answer

    return asyncio.run(ask())


class Ask:
    """Executes queries with one of the clients."""

    def __init__(self, client: Client, project: str) -> None:
        """Takes the client and the URL of the project."""
        self._client = client
        self._project = project

    def __call__(self, query: Query, uid: str | None = None) -> Answer:
        """Executes the query as the thinker with this uid, or as anon."""
        return self._client(self._project, token("authenticated", uid) if uid else ANON_KEY, query)


@pytest.fixture(params=[_supabase, _supabase_async, _postgrest, _postgrest_async], ids=lambda ask: ask.__name__[1:])
def ask(request: pytest.FixtureRequest, project: str) -> Ask:
    """Each of the clients, on the project with the scene."""
    return Ask(request.param, project)
