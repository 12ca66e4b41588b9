"""A database in which every table has rows of two groups of thinkers that have nothing to do with each other."""

from collections.abc import Iterator

import psycopg
import pytest

from api.settings import ROOT
from tests.support.acting import act, thinker, unchecked
from tests.support.databases import Server


@pytest.fixture(scope="package")
def world_url(server: Server, migrated: str) -> Iterator[str]:
    """The URL of a database with the rows of the pgTAP tests, and rows that only an import makes."""
    with server.database(template=migrated) as url:
        with psycopg.connect(url) as connection:
            for file in ("helpers.psql", "world.psql"):
                connection.execute((ROOT / "supabase" / "tests" / file).read_bytes())
            connection.execute(
                "insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, run)"
                """ values ('d1', 'vouchers', 'v-1', gen_random_uuid(), '{"issuer_uid": "anna"}', 'value_missing', 1)"""
            )
            connection.execute(
                "insert into private.claims (thinker_id, session_id) select id, gen_random_uuid() from public.thinkers"
            )
            # a title that would write over a terminal
            connection.execute("update public.vouchers set title = U&'\\202Eevil\\009B31m\\2028' where id = 'given'")
        yield url


@pytest.fixture
def world(world_url: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to it, in a transaction that is rolled back."""
    with psycopg.connect(world_url) as connection:
        yield connection
        connection.rollback()


def end_obligations(connection: psycopg.Connection) -> None:
    """Ends what is left between the thinkers: appointments pass, all sign and pay, and nobody is online."""
    parties = connection.execute(
        "select c.id, private.uid_of(a.borrower_id), private.uid_of(o.lender_id), 'nora'"
        " from public.mortgage_contracts c join public.mortgage_offers o on o.id = c.offer_id"
        " join public.mortgage_applications a on a.id = o.application_id where c.status = 'draft'"
    ).fetchall()
    for contract, *uids in parties:
        for signer, uid in zip(("borrower", "lender", "notary"), uids, strict=True):
            act(connection, thinker(uid), "sign_mortgage_contract", contract_id=contract, signer=signer)
    connection.execute("select public.pay_settlement(id) from public.settlements where status = 'invoiced'")
    with unchecked(connection):
        connection.execute(
            "update public.voucher_bookings set slot_start = slot_start - interval '9 years',"
            " slot_end = slot_end - interval '9 years'"
        )
        connection.execute(
            "update public.vouchers set valid_from = least(valid_from, now()) - interval '9 years',"
            " valid_until = valid_until - interval '9 years'"
        )
        connection.execute("update public.thinkers set verified_at = null")
        connection.execute("update public.presence_sessions set last_seen_at = now() - interval '2 hours'")
