"""A document that is stored while the right to link it is lost is refused, and leaves nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from api.actor import Actor, thinker_id
from tests.support.acting import call, call_or_reason, thinker
from tests.support.forms import CONTENT_TYPE, END, PATH, field, file
from tests.support.serving import Answer, Connection, serve, settings_in
from tests.support.signing import KEY, SECRET, bearer, signed
from tests.support.waiting import wait_for_row

ALICE, BOB = thinker("alice"), thinker("bob")
WAITS = "select from pg_stat_activity where application_name = 'togethersystems-api' and wait_event_type = 'Lock'"


def record(uid: str, **links: object) -> dict[str, object]:
    """The parameters with which the server records a document that a thinker may link."""
    id_ = uuid4()
    path = f"contracts/{id_}/x"
    document = {"contract_id": id_, "name": f"of {uid}", "mime_type": None, "byte_size": 1, "storage_url": path}
    return {**document, "hash_sha256": "0" * 64, "as_thinker": True, **links}


@pytest.fixture(scope="module")
def keyed(shared_database: str, shared_folder: Path) -> Iterator[str]:
    """The URL of an app with an API key, where others need a token."""
    settings = settings_in(shared_folder, ts_api_key=KEY, jwt_secret=SECRET)
    with serve(settings, shared_database) as url:
        yield url


@contextmanager
def alice_makes(database: str, room: str) -> Iterator[None]:
    """In the block alice's document is recorded in a new room, not yet visible to others."""
    with psycopg.connect(database) as connection, connection.transaction():
        call(connection, Actor("service_role", "alice"), "record_contract", **record("alice", room_id=room))
        yield


def upload(url: str, headers: dict[str, str | bytes], *fields: bytes) -> Answer:
    with Connection(url) as connection:
        form = file(b"secret of bob") + b"".join(fields) + END
        return connection.ask("POST", PATH, raw=form, headers=headers | {"Content-Type": CONTENT_TYPE})


def in_room(database: str, room: str) -> list[str]:
    with psycopg.connect(database) as connection:
        return [contract["name"] for contract in call(connection, ALICE, "list_contracts", room_id=room)]


def test_of_two_thinkers_who_store_in_a_new_room_at_once_one_gets_it(
    keyed: str, database: str, shared_folder: Path
) -> None:
    token = bearer(signed(sub=str(thinker_id("bob")), public_id="bob"))
    with psycopg.connect(database, autocommit=True) as watching, ThreadPoolExecutor(1) as thread:
        with alice_makes(database, "family"):
            uploading = thread.submit(upload, keyed, token, field("roomId", "family"))
            wait_for_row(watching, WAITS)
        answer = uploading.result()
    assert (answer.status, answer.body["error"]) == (403, "only who is in the room may do this")
    assert in_room(database, "family") == ["of alice"]
    assert list((shared_folder / "contracts").iterdir()) == []


def test_a_trusted_caller_stores_in_the_room_of_others(keyed: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as watching, ThreadPoolExecutor(1) as thread:
        with alice_makes(database, "project"):
            fields = field("roomId", "project"), field("actorId", "bob")
            uploading = thread.submit(upload, keyed, {"X-TS-APIKEY": KEY}, *fields)
            wait_for_row(watching, WAITS)
        assert uploading.result().status == 200
    assert sorted(in_room(database, "project")) == ["contract.pdf", "of alice"]


def test_who_lost_a_voucher_after_the_check_links_nothing_to_it(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        window = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z"}
        call(connection, ALICE, "issue_voucher", voucher_id="v", **window)
        call(connection, BOB, "book_voucher", voucher_id="v", slot_start="2030-01-07 09:00Z")
        assert call(connection, BOB, "check_contract_link", voucher_id="v")
        call(connection, BOB, "cancel_booking", voucher_id="v")
        server = Actor("service_role", "bob")
        refused = call_or_reason(connection, server, "record_contract", **record("bob", voucher_id="v"))
        assert refused == "voucher_not_found"


def test_nobody_makes_the_room_of_a_mortgage(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        server = Actor("service_role", "bob")
        document = record("bob", room_id="mortgage:offer:o-1")
        assert call_or_reason(connection, server, "record_contract", **document) == "not_your_room"
