"""The same request with the same key, over HTTP and through both gateways: one effect, one answer."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.idempotency.writes import NINE, UPLOAD, WRITES, World, everything, keys, without_tokens
from tests.support.acting import call, one
from tests.support.data_api import through_data_api
from tests.support.parallel import at_once
from tests.support.serving import Connection, serve, settings_in

IN_PROGRESS = {"ok": False, "error": "Eine Anfrage mit diesem Idempotency-Key läuft noch, bitte gleich noch einmal"}
REUSED = {
    "de": "Dieser Idempotency-Key gehört zu einer anderen Anfrage",
    "en": "this Idempotency-Key belongs to another request",
}
INVALID = {"ok": False, "error": "Idempotency-Key muss 1 bis 255 Zeichen haben"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the app."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module", params=["direct", "data api"])
def portal(request: pytest.FixtureRequest, shared_database: str, folder: Path) -> Iterator[str]:
    """The URL of the app on shared_database, through each gateway."""
    with ExitStack() as running:
        settings = settings_in(folder)
        if request.param == "direct":
            yield running.enter_context(serve(settings, shared_database))
        else:
            settings = running.enter_context(through_data_api(settings, shared_database))
            yield running.enter_context(serve(settings, None))


@pytest.fixture
def world(portal: str, shared_database: str) -> Iterator[World]:
    """A namespace for this test."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield World(portal, connection)


@pytest.fixture
def key() -> str:
    """A key that is not used yet."""
    return str(uuid4())


@pytest.mark.parametrize("path", WRITES)
def test_a_repeated_request_gets_the_first_response_and_changes_nothing(world: World, key: str, path: str) -> None:
    before = everything(world.connection)
    first = world.send(path, key)
    after = everything(world.connection)
    again = world.send(path, key)

    assert first.status == 200, first.body
    assert before != after
    assert without_tokens(again) == without_tokens(first)
    assert [answer.headers.get("idempotency-replayed") for answer in (first, again)] == [None, "true"]
    assert everything(world.connection) == after
    assert keys(world.connection, key) == 1


@pytest.mark.parametrize("path", WRITES)
def test_without_a_key_it_is_another_request(world: World, path: str) -> None:
    world.send(path, None)
    before = everything(world.connection)
    kept = one(world.connection, "select count(*) from private.idempotency_keys")
    answer = world.send(path, None)
    assert (answer.status != 200) is (path in ("/api/voucher/book", "/api/hypotheken/angebot/accept"))
    # a pair's room is created once
    assert (everything(world.connection) == before) is (answer.status != 200 or path == "/api/presence/match")
    assert one(world.connection, "select count(*) from private.idempotency_keys") == kept


@pytest.mark.parametrize("path", [path for path, write in WRITES.items() if write.other])
def test_a_different_request_with_the_key_is_refused(world: World, key: str, path: str) -> None:
    first = world.send(path, key)
    before = everything(world.connection)
    refused = world.send(path, key, other=True)
    assert refused.status == 422
    assert refused.body["error"] in REUSED.values()
    assert everything(world.connection) == before
    # the key still belongs to the first request
    assert without_tokens(world.send(path, key)) == without_tokens(first)
    assert world.send(path, str(uuid4()), other=True).status == (400 if path.endswith("accept") else 200)


def test_the_message_is_in_the_language_of_the_route(world: World, key: str) -> None:
    world.send("/api/voucher/issue", key)
    world.send("/api/telemetry", key)
    german, english = (world.send(path, key, other=True) for path in ("/api/voucher/issue", "/api/telemetry"))
    assert german.body == {"ok": False, "error": REUSED["de"]}
    assert english.body == {"ok": False, "error": REUSED["en"]}


def test_a_key_is_valid_for_one_route(world: World, key: str) -> None:
    assert world.send("/api/hypotheken/anfrage", key).status == 200
    assert world.send("/api/presence/heartbeat", key).status == 422


@pytest.mark.parametrize("path", ["/api/voucher/issue", "/api/presence/verify", "/api/hypotheken/anfrage"])
def test_keys_of_different_thinkers_are_separate(world: World, key: str, path: str) -> None:
    first, other = world.send(path, key), World(world.portal, world.connection).send(path, key)
    assert (first.status, other.status) == (200, 200)
    assert without_tokens(first) != without_tokens(other)
    assert keys(world.connection, key) == 2


@pytest.mark.parametrize("path", ["/api/voucher/issue", "/api/voucher/book", UPLOAD])
def test_a_refused_request_stores_no_key(world: World, key: str, path: str) -> None:
    # the event is the last row that is written before the key
    world.connection.execute("alter table public.events add constraint nothing_happens check (false) not valid")
    try:
        refused = world.send(path, key)
    finally:
        world.connection.execute("alter table public.events drop constraint nothing_happens")
    assert refused.status == 400
    assert keys(world.connection, key) == 0
    assert world.send(path, key, other=True).status == 200


def test_a_slot_that_was_taken_can_be_requested_again(world: World, key: str) -> None:
    cleo = world.thinker("cleo")
    world.do(cleo, "book_voucher", voucher_id="free", slot_start=NINE)
    refused = world.send("/api/voucher/book", key)
    assert (refused.status, keys(world.connection, key)) == (400, 0)

    world.do(cleo, "cancel_booking", voucher_id="free")

    booked = world.send("/api/voucher/book", key)
    assert (booked.status, keys(world.connection, key)) == (200, 1)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_request_in_progress_is_not_started_again(world: World, shared_database: str, key: str, ends: str) -> None:
    with psycopg.connect(shared_database) as busy:
        busy.execute("begin")
        voucher = f"free{world.name}"
        ben = world.thinker("ben")
        begun = call(busy, ben, "book_voucher", voucher_id=voucher, slot_start=NINE, idempotency_key=key)
        refused = [world.send("/api/voucher/book", key, other=other) for other in (False, True)]
        busy.execute(ends.encode())
    assert [(answer.status, answer.body) for answer in refused] == [(409, IN_PROGRESS)] * 2

    answer = world.send("/api/voucher/book", key)

    assert answer.status == 200
    assert (answer.body["booking"]["bookingId"] == begun["booking"]["id"]) is (ends == "commit")
    query = "select count(*) from public.voucher_bookings where voucher_id = %s"
    assert one(world.connection, query, voucher) == 1


def test_one_of_many_concurrent_requests_has_an_effect(world: World, key: str) -> None:
    answers = at_once([partial(world.send, "/api/voucher/issue", key)] * 20)
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() <= {200, 409}
    assert statuses[200] >= 1
    vouchers = {answer.body["voucher"]["voucherId"] for answer in answers if answer.status == 200}
    issued = world.connection.execute(
        "select id from public.vouchers where private.uid_of(issuer_id) = %s and id not in (%s, %s)",
        (f"anna{world.name}", f"free{world.name}", f"booked{world.name}"),
    )
    assert {voucher for (voucher,) in issued} == vouchers
    assert len(vouchers) == 1


@pytest.mark.parametrize(("age", "is_kept"), [(timedelta(hours=23, minutes=59), True), (timedelta(hours=24), False)])
def test_a_key_is_kept_for_24_hours(world: World, key: str, age: timedelta, is_kept: bool) -> None:
    first = world.send("/api/voucher/issue", key)
    world.connection.execute("update private.idempotency_keys set created_at = now() - %s where key = %s", (age, key))
    if is_kept:
        assert without_tokens(world.send("/api/voucher/issue", key)) == without_tokens(first)
        return
    # as if it was never used, for any request; from then on it is kept again
    other = world.send("/api/voucher/issue", key, other=True)
    assert (other.status, other.body["voucher"]["title"]) == (200, "Other")
    assert without_tokens(world.send("/api/voucher/issue", key, other=True)) == without_tokens(other)
    assert world.send("/api/voucher/issue", key).status == 422
    assert keys(world.connection, key) == 1


def test_a_document_is_stored_once(world: World, folder: Path, shared_database: str, key: str) -> None:
    def files() -> set[Path]:
        return {path for path in (folder / "contracts").rglob("*") if path.is_file()}

    before = files()
    first = world.send(UPLOAD, key)
    stored = files() - before
    assert stored == {folder / first.body["contract"]["storageUrl"]}
    assert without_tokens(world.send(UPLOAD, key)) == without_tokens(first)
    assert world.send(UPLOAD, key, other=True).status == 422
    with psycopg.connect(shared_database) as busy:
        lock = "select pg_advisory_xact_lock(private.lock_number('idempotency_key:service_role:' || %s))"
        busy.execute(lock, (key,))
        assert world.send(UPLOAD, key).status == 409
    assert files() - before == stored


def test_an_empty_key_counts_as_none(world: World) -> None:
    first, other = world.send("/api/voucher/issue", ""), world.send("/api/voucher/issue", "  ")
    assert (first.status, other.status) == (200, 200)
    assert without_tokens(first) != without_tokens(other)


def test_a_key_has_up_to_255_characters(world: World, key: str) -> None:
    longest = key.ljust(255, "x")
    assert without_tokens(world.send("/api/voucher/issue", longest)) == without_tokens(
        world.send("/api/voucher/issue", longest)
    )
    refused = world.send("/api/voucher/issue", longest + "x")
    assert (refused.status, refused.body) == (400, INVALID)
    with Connection(world.portal) as connection:
        # without a lookup of a thinker, the database is not asked
        alone = connection.post("/api/presence/match", {"thinker_id": "a"}, idempotency_key=longest + "x")
    assert (alone.status, alone.body) == (400, INVALID)


STRANGE = [
    "Schlüssel".encode(),
    "Schlüssel".encode("latin-1"),
    "🔑".encode(),
    b"\xff\xfe",
    b"\xed\xa0\x80",
    *(bytes([byte]) for byte in range(1, 32) if byte not in b"\t\n\r"),
    b"a\tb",
    b"a\0b",
    b"\x7f",
    b"'; drop table private.idempotency_keys; --",
    b'"quoted"',
    b"\\u0000",
    b"%s {} $1",
]


def test_an_unusual_key_is_accepted_or_refused(world: World) -> None:
    for strange in STRANGE:
        headers: dict[str, str | bytes] = {"Idempotency-Key": strange, "X-MOT-User": f"anna{world.name}"}
        answers = []
        for _ in range(2):
            # no body: the web server itself refuses what is not a valid header, and closes the connection
            with Connection(world.portal) as connection:
                answers.append(without_tokens(connection.ask("POST", "/api/hypotheken/anfrage", headers=headers)))
        assert answers[0] == answers[1], strange
        assert answers[0][0] in (200, 400), strange
