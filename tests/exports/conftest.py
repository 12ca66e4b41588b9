"""A database with rows in every table and stored documents, and empty databases to move into."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from api.database.migrations import migrate, seed
from api.settings import ROOT
from tests.support.databases import Server

DOCUMENT = b"\0\xff ein Vertrag\n"

# what the demo data and the rows of the pgTAP tests leave empty
MORE = """
insert into private.currencies (exponent, code) values (8, 'XBT');
insert into private.idempotency_keys (actor, key, fingerprint, response)
values ('authenticated', E'a "key",\\n\\\\.\\nof lines', sha256('x'), '{"n": 1.10e-20, "t": "\\u0001"}');
insert into private.import_runs (source, input) values ('d1', '{}');
insert into private.import_rows (legacy_table, id, source, shown_by, hash, digest, amount, run)
values ('transfers', '\\N', 'd1', '{d1}', md5('x')::uuid, -9223372036854775808, 0.100, 1);
insert into private.import_rejects (source, legacy_table, hash, content, reason, detail, run)
values ('d1', 'vouchers', md5('y')::uuid, 'null', 'json_invalid', '', 1);
insert into private.erased_uids (hash) values (sha256('gone'));
select private.run_job('expire-vouchers');
insert into public.telemetry_events (type, path, meta) values
  ('x', '', null), ('x', null, 'null'), (E'\\t"\\r\\n\\\\', E'\\\\.', '[null, 9007199254740993, 1e300, 0.10]');
insert into public.events (type, created_at) values ('old.event', '2001-02-03 04:05:06.789012Z');
insert into private.claims (thinker_id, session_id) select id, gen_random_uuid() from public.thinkers limit 2;
insert into private.ended_sessions (session_id) values (gen_random_uuid());
"""


@pytest.fixture(scope="package")
def used_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the database in use, with a document."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "contracts" / "a").mkdir(parents=True)
    (folder / "contracts" / "a" / "deed").write_bytes(DOCUMENT)
    return folder


@pytest.fixture(scope="package")
def used(server: Server, migrated: str) -> Iterator[str]:
    """The URL of a database with rows in every table; one of its documents is stored, the others are missing."""
    with server.database(template=migrated) as url:
        seed(url)
        with psycopg.connect(url, autocommit=True) as connection:
            with connection.transaction():
                for file in ("helpers.psql", "world.psql"):
                    connection.execute((ROOT / "supabase" / "tests" / file).read_bytes())
            connection.execute(MORE.encode())
            connection.execute(
                "update public.contracts set byte_size = %s, hash_sha256 = %s where storage_url = 'contracts/a/deed'",
                (len(DOCUMENT), hashlib.sha256(DOCUMENT).hexdigest()),
            )
        yield url


@pytest.fixture(scope="package")
def owned(server: Server, migrated: str) -> Iterator[str]:
    """The name of a migrated database whose owner is no superuser, as on Supabase: a template for copies."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("create role mover login createrole nosuperuser")
        for role in ("anon", "authenticated", "service_role", "authenticator", "supabase_admin"):
            connection.execute(f"grant {role} to mover with admin option".encode())
        name = server.create()
        connection.execute(f"alter database {name} owner to mover".encode())
        migrate(make_conninfo(server.url(name), user="mover"))
        yield name
        server.drop(name)
        connection.execute("drop owned by mover; drop role mover")


@pytest.fixture
def target(server: Server, owned: str) -> Iterator[str]:
    """The URL, as its owner, of a migrated database without data."""
    with server.database(template=owned) as url:
        yield make_conninfo(url, user="mover")
