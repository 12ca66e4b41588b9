"""Lists come in pages (docs/compatibility.md, "Lists"): every route of a list, through each of the gateways."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from tests.support.data_api import through_data_api
from tests.support.serving import Answer, Connection, serve, settings_in

ROWS = """
    insert into public.thinkers (id, public_id, roles)
      select private.thinker_id(uid), uid, case uid when 'a' then '{lender}' else '{}'::text[] end
      from unnest('{a,b,c,d,e}'::text[]) as uid;
    insert into public.vouchers (id, issuer_id, valid_from, valid_until)
      select 'ü-' || i, private.thinker_id('a'), now(), now() from generate_series(1, 5) as i;
    insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)
      select 'ü-' || i, private.thinker_id('a'), private.thinker_id('b'), now(), now() + interval '1 hour'
      from generate_series(1, 5) as i;
    insert into public.transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label)
      select 'in-' || i, 'in', i, 'ETH', i, 'EUR', 'l' from generate_series(1, 5) as i;
    insert into public.mortgage_applications (id, borrower_id)
      select 'app-' || i, private.thinker_id('a') from generate_series(1, 5) as i;
    insert into public.mortgage_offers (application_id, lender_id, room_refs)
      select 'app-' || i, private.thinker_id('b'), '{}' from generate_series(1, 5) as i;
    insert into public.contracts (name, byte_size, storage_url, hash_sha256)
      select 'n', 1, 'contracts/' || i || '/n', repeat('a', 64) from generate_series(1, 5) as i;
    insert into public.contract_links (contract_id, voucher_id) select id, 'ü-1' from public.contracts;
    insert into public.presence_sessions (thinker_id)
      select private.thinker_id(uid) from unnest('{a,b,c,d,e}'::text[]) as uid;
    insert into public.settlements (beneficiary_id, period_from, period_to, currency, total_cents)
      select id, date '2030-01-01', '2030-02-01', 'X' || i, 0
      from public.thinkers, generate_series(1, 5) as i where public_id = 'a'
"""

LISTS: dict[str, str] = {
    "/api/voucher/list?issuerUid=a": "items",
    "/api/voucher/bookings?": "items",
    "/api/telbank/transfers?direction=in": "items",
    "/api/hypotheken/anfrage/list?role=lender": "applications",
    "/api/hypotheken/angebot/list?role=borrower": "offers",
    "/api/mortgage/application-list?role=borrower": "applications",
    "/api/mortgage/offer-list?role=borrower": "offers",
    "/api/contracts/list?": "items",
    "/api/contracts/list?voucherId=%C3%BC-1": "items",
    "/api/presence/debug?": "items",
    "/api/admin/events?": "items",
    "/api/admin/settlements?beneficiaryUid=a": "items",
}

OLDEST_FIRST = {
    "/api/voucher/list?issuerUid=a",
    "/api/hypotheken/anfrage/list?role=lender",
    "/api/hypotheken/angebot/list?role=borrower",
    "/api/mortgage/application-list?role=borrower",
    "/api/presence/debug?",
}
"""Their first page has the newest rows, too: strangers who add to a list must not hide what comes later."""


@pytest.fixture(scope="module", params=["direct", "data api"])
def listing(
    request: pytest.FixtureRequest, shared_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    """The app on a database with a few rows of everything that is listed, many of them of one moment."""
    with psycopg.connect(shared_database) as connection:
        if connection.execute("select from public.vouchers").fetchone() is None:
            connection.execute(ROWS)
    settings = settings_in(tmp_path_factory.mktemp("data"))
    with ExitStack() as stack:
        if request.param == "data api":
            settings = stack.enter_context(through_data_api(settings, shared_database))
        url = stack.enter_context(serve(settings, None if settings.supabase_url else shared_database))
        yield stack.enter_context(Connection(url))


def get(connection: Connection, path: str, **parameters: object) -> Answer:
    query = "".join(f"&{name}={quote(str(value))}" for name, value in parameters.items())
    answer = connection.get(path + query, x_mot_user="a")
    assert answer.status == 200, answer.body
    return answer


def pages(connection: Connection, path: str, limit: int, name: str = "items") -> list[list[Any]]:
    """Returns the rows of each page."""
    found, after = [], ""
    while True:
        answer = get(connection, path, limit=limit, after=after)
        assert answer.headers["list-limit"] == str(limit)
        found.append(answer.body[name])
        if "list-next" not in answer.headers:
            return found
        after = answer.headers["list-next"]


@pytest.mark.parametrize("path", LISTS)
def test_pages_are_the_parts_of_the_list(listing: Connection, path: str) -> None:
    whole = get(listing, path, limit=200)
    rows = whole.body[LISTS[path]]
    assert len(rows) >= 5
    assert "list-next" not in whole.headers
    assert get(listing, path).headers["list-limit"] == {"events": "50", "settlements": "200"}.get(
        path[11:].partition("?")[0], "1000"
    )
    for limit in (2, 5):
        parts = pages(listing, path, limit, LISTS[path])
        in_order = parts[::-1] if path in OLDEST_FIRST else parts
        assert [row for part in in_order for row in part] == rows
        assert {len(part) for part in parts[:-1]} <= {limit}


NO_PAGES = [
    ("limit", "1.5"),
    ("limit", "ten"),
    ("after", "!"),
    ("after", "MQ=="),
    ("after", "WyJhIiwiYiJd"),
    ("after", "_w=="),
    # a number, which may have 131,072 digits; longer than any cursor
    ("after", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsICJ4IiwgMV0="),
    ("after", b64encode(b'["2026-01-01T00:00:00Z", "' + b"x" * 4096 + b'"]').decode()),
]


@pytest.mark.parametrize("path", LISTS)
def test_a_page_that_does_not_exist_is_refused(listing: Connection, path: str) -> None:
    queries = [f"{path}&{parameter}={value}" for parameter, value in NO_PAGES]
    statuses = {query[:200]: listing.get(query, x_mot_user="a").status for query in queries}
    assert statuses == dict.fromkeys(statuses, 400)
    assert len(statuses) == len(NO_PAGES)


def test_a_list_of_large_rows_has_fewer(listing: Connection, shared_database: str) -> None:
    with psycopg.connect(shared_database) as connection:
        connection.execute(
            "insert into public.vouchers (id, issuer_id, valid_from, valid_until, terms, description)"
            " select 'large-' || i, private.thinker_id('c'), now(), now(), to_jsonb(repeat('x', 65000)),"
            " repeat('x', 16384)"
            " from generate_series(1, 99) as i on conflict do nothing"
        )
    parts = pages(listing, "/api/voucher/list?issuerUid=c", 1000)
    assert [len(part) for part in parts] == [12] * 8 + [3]
    assert sorted(row["voucherId"] for part in parts for row in part) == sorted(f"large-{i}" for i in range(1, 100))
