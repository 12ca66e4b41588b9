"""A user of Supabase Auth, an anonymous one too, is a thinker: from the sign-up to what it does through both doors."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from supabase import ClientOptions, PostgrestAPIError, create_client

from api.database.migrations import apply_platform, migrate
from tests.clients.conftest import ANON_KEY
from tests.support.acting import one
from tests.support.data_api import JWT_SECRET, run_data_api
from tests.support.databases import Server
from tests.support.serving import Answer, Connection, serve, settings_in
from tests.support.signing import KEY, bearer, signed
from tests.support.supabase import USERS

# the role of Supabase Auth may write its own tables only
SIGN_UPS = """
create role auth_admin_of_a_test;
grant usage on schema auth to auth_admin_of_a_test;
grant select, insert, update on auth.users to auth_admin_of_a_test
"""


@dataclass(frozen=True)
class Project:
    """A project and a portal on one database, whose users sign up."""

    database: psycopg.Connection
    url: str
    portal: str

    def save(self, user: str, *, email: str | None) -> None:
        """Does what Supabase Auth does when a user signs up, or gives its email later."""
        with self.database.transaction():
            self.database.execute("set local role auth_admin_of_a_test")
            self.database.execute(
                "insert into auth.users (id, email, is_anonymous) values (%s, %s, %s)"
                " on conflict (id) do update set email = excluded.email, is_anonymous = excluded.is_anonymous",
                (user, email, email is None),
            )

    def call(self, token: str, function: str, **params: object) -> Any:
        """What the function returns to the token's user at the Data API."""
        with httpx.Client() as session:
            client = create_client(self.url, ANON_KEY, ClientOptions(httpx_client=session))
            client.postgrest.auth(token)
            return client.rpc(function, params).execute().data

    def ask(self, token: str, method: str, path: str, body: object = None) -> Answer:
        """The portal's answer to the token's user."""
        with Connection(self.portal) as connection:
            return connection.ask(method, path, body, headers=bearer(token))


@pytest.fixture(scope="module")
def project(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A new project; its role for sign-ups is that of the whole server."""
    settings = settings_in(tmp_path_factory.mktemp("data"), jwt_secret=JWT_SECRET, ts_api_key=KEY)
    with server.database() as url, psycopg.connect(url, autocommit=True) as connection:
        apply_platform(connection)
        connection.execute(USERS)
        migrate(url)
        connection.execute(SIGN_UPS)
        try:
            with run_data_api(url) as data_api, serve(settings, url) as portal:
                yield Project(connection, data_api, portal)
        finally:
            connection.execute("drop owned by auth_admin_of_a_test; drop role auth_admin_of_a_test")


def access_token(user: str, email: str | None) -> str:
    """An access token with the claims of Supabase Auth; the user chose user_metadata itself."""
    now = int(time.time())
    return signed(
        JWT_SECRET,
        iss="https://project.supabase.co/auth/v1",
        sub=user,
        iat=now,
        email=email or "",
        phone="",
        app_metadata={"provider": "email", "providers": ["email"]} if email else {},
        user_metadata={"role": "admin", "roles": ["admin"]},
        aal="aal1",
        amr=[{"method": "password" if email else "anonymous", "timestamp": now}],
        session_id=str(uuid4()),
        is_anonymous=email is None,
    )


@pytest.mark.parametrize("email", ["dora@example.org", None], ids=["permanent", "anonymous"])
def test_a_user_acts_as_the_thinker_of_its_id(project: Project, email: str | None) -> None:
    user, other = str(uuid4()), str(uuid4())
    project.save(user, email=email)
    assert one(project.database, "select public_id from public.thinkers where id = %s", user) == user
    token = access_token(user, email)

    voucher = project.call(token, "issue_voucher", title="Klavierstunde")
    assert voucher["issuer_uid"] == user
    listed = project.ask(token, "GET", f"/api/voucher/list?issuerUid={user}")
    assert [row["title"] for row in listed.body["items"]] == ["Klavierstunde"]

    assert project.ask(token, "POST", "/api/presence/heartbeat", {"thinker_id": user}).status == 200
    assert project.ask(token, "POST", "/api/presence/heartbeat", {"thinker_id": other}).status == 403


@pytest.mark.parametrize("email", ["dora@example.org", None], ids=["permanent", "anonymous"])
def test_a_user_has_no_role_that_it_gives_itself(project: Project, email: str | None) -> None:
    user = str(uuid4())
    project.save(user, email=email)
    token = access_token(user, email)
    assert project.ask(token, "GET", "/api/admin/events").status == 403
    with pytest.raises(PostgrestAPIError, match="not_an_admin"):
        project.call(token, "list_presence")


def test_an_anonymous_user_who_gives_an_email_stays_the_same_thinker(project: Project) -> None:
    user = str(uuid4())
    project.save(user, email=None)
    project.call(access_token(user, None), "issue_voucher", title="Gartenarbeit")
    project.save(user, email="emil@example.org")
    token = access_token(user, "emil@example.org")
    assert [row["title"] for row in project.call(token, "list_vouchers", issuer_uid=user)] == ["Gartenarbeit"]
