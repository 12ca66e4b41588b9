"""What others have under an id of the source, here or in another source, gets no rows of the source."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from api.actor import SERVER
from api.errors import PortalError
from api.imports.d1 import open_d1
from api.imports.loading import load
from tests.cli.running import run
from tests.imports.conftest import Take
from tests.imports.legacy import ROWS, Value, write
from tests.support.acting import call, call_or_reason, one, thinker
from tests.support.charging import violations
from tests.support.databases import empty
from tests.support.waiting import wait_for_row

OFFER_ROOM = "mortgage:offer:mort-offer-1"


def rejects(connection: psycopg.Connection) -> dict[str, str]:
    """What waits, and why."""
    rows = "select row_id, reason from private.import_rejects where resolved_at is null order by 1"
    return dict(connection.execute(rows).fetchall())


def take_from_another(
    take: Take, connection: psycopg.Connection, file: Path, *rows: tuple[str, Mapping[str, Value]]
) -> None:
    """Imports rows as those of another source."""
    take(write(file, *rows, good=False))
    connection.execute(
        "update private.import_rows set source = 'https://eve.example', shown_by = '{https://eve.example}'"
    )
    connection.execute("update private.import_runs set source = 'https://eve.example'")


def sees(connection: psycopg.Connection, uid: str) -> list[str]:
    """Returns the ids of the documents and offers that a thinker sees."""
    offers = call(connection, thinker(uid), "list_mortgage_offers", role="borrower")
    return [found["id"] for found in [*call(connection, thinker(uid), "list_contracts"), *offers]]


def test_rows_of_another_source_get_none_of_this_one(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    take_from_another(
        take, connection, tmp_path / "eve.sqlite",
        ("vouchers", {"issuer_uid": "eve", "holder_uid": None, "status": "issued"}),
        ("mortgage_applications", {"borrower_uid": "eve"}),
        ("mortgage_applications", {"id": "app-2", "borrower_uid": "eve"}),
        ("mortgage_offers", {"application_id": "app-2", "lender_uid": "eve"}),
        ("contracts", {"created_by": "eve"}),
        ("contracts", {"id": "ct-9", "storage_url": "contracts/ct-9/x", "created_by": "eve"}),
        ("contract_links", {"id": "cl-9", "contract_id": "ct-9", "voucher_id": None}),
    )  # fmt: skip
    before = sees(connection, "eve")
    file = write(
        tmp_path / "d1.sqlite",
        ("contracts", {"id": "ct-2", "storage_url": "contracts/ct-2/x"}),
        ("contract_links", {"id": "cl-2", "contract_id": "ct-2", "room_id": None}),
        ("contract_links", {"id": "cl-3", "contract_id": "ct-2", "voucher_id": None, "room_id": OFFER_ROOM}),
        ("contract_links", {"id": "cl-4", "contract_id": "ct-2", "voucher_id": None}),
        ("mortgage_offers", {"id": "mort-offer-2"}),
    )
    for _ in range(2):
        take(file)
        assert rejects(connection) == {
            "app-1": "id_twice", "b-1": "voucher_missing", "cl-1": "voucher_missing", "cl-2": "voucher_missing",
            "cl-3": "room_taken", "cl-4": "room_taken", "ct-1": "id_twice", "mort-offer-1": "application_missing",
            "mort-offer-2": "application_missing", "house-1": "id_taken", "v-1": "id_twice",
        }  # fmt: skip
    assert sees(connection, "eve") == before

    # nor does a bucket give the bytes of the one to the other
    (tmp_path / "bucket" / "ct-1").mkdir(parents=True)
    (tmp_path / "bucket" / "ct-1" / "Vertrag.pdf").write_bytes(b"abc")
    told = run("import", "contracts", str(tmp_path / "bucket"), DATA_DIR=str(tmp_path / "data")).stdout
    assert not [path for path in (tmp_path / "data").rglob("*") if path.name == "Vertrag.pdf"], told


def test_a_row_that_two_sources_show_is_of_both(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    take_from_another(
        take, connection, tmp_path / "d1.sqlite", *((table, {}) for table in ROWS if table != "contract_links")
    )
    take(write(tmp_path / "d1.sqlite", ("contract_links", {}), good=False))
    assert rejects(connection) == {}
    assert (
        one(connection, "select count(*) from private.import_rows where shown_by @> '{d1}' and source <> 'd1'")
        == len(ROWS) - 1
    )


def test_only_the_same_row_of_another_source_ends_a_reject(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    same = ("voucher_bookings", {"id": "b-2", "slot_start": "2026-03-02T11:00:00Z", "slot_end": "2026-03-02T12:00:00Z"})
    take_from_another(take, connection, tmp_path / "eve.sqlite", ("voucher_bookings", {"holder_uid": "eve"}), same)
    connection.execute("update private.import_rejects set source = 'https://eve.example'")
    assert rejects(connection) == {"b-1": "voucher_missing", "b-2": "voucher_missing"}
    take(write(tmp_path / "d1.sqlite", ("vouchers", {}), ("voucher_bookings", {}), same, good=False))
    assert rejects(connection) == {"b-1": "voucher_missing"}
    assert one(connection, "select count(*) from public.voucher_bookings") == 2


def test_an_application_joins_no_property_of_others(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    def application(n: int, house: object) -> tuple[str, Mapping[str, Value]]:
        return "mortgage_applications", {"id": f"app-{n}", "property_id": f"house-{house}", "borrower_uid": "mallory"}

    for property_id in ("house-1", "house-unknown"):
        call(connection, thinker("clara"), "apply_for_mortgage", property_id=property_id)
    take_from_another(take, connection, tmp_path / "eve.sqlite", ("properties", {"id": "house-2"}), application(3, 3))
    file = write(
        tmp_path / "d1.sqlite",
        ("properties", {"id": "house-4"}),
        *(application(n, n - 10) for n in range(11, 16)),
        # what the servers write where none is given
        application(16, "unknown"),
        *(("mortgage_offers", {"id": f"offer-{n}", "application_id": f"app-{n}"}) for n in range(11, 16)),
        good=False,
    )
    others = {f"app-{n}": "property_taken" for n in range(11, 14)}
    missing = {f"offer-{n}": "application_missing" for n in range(11, 14)}
    take(file)
    assert rejects(connection) == others | missing
    # its own, with and without a row of the property, may have another one later
    take(write(file, application(24, 4), application(25, 5), good=False))
    assert rejects(connection) == others | missing
    assert one(connection, "select count(*) from public.mortgage_applications where id like 'app-_5'") == 2


def test_an_offer_that_was_made_here_gets_no_documents(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    connection.execute("select private.ensure_thinker('eve')")
    connection.execute("update public.thinkers set roles = '{lender}' where public_id = 'eve'")
    call(connection, thinker("mallory"), "apply_for_mortgage", application_id="app-evil")
    call(
        connection, thinker("eve"), "offer_mortgage", application_id="app-evil", offer_id="mort-offer-1", room_refs={},
        loan={}, interest={}, repayment={},
    )  # fmt: skip
    take(write(tmp_path / "d1.sqlite", ("contract_links", {"voucher_id": None, "room_id": OFFER_ROOM})))
    assert rejects(connection) == {"cl-1": "room_taken", "mort-offer-1": "room_taken"}
    assert [sees(connection, uid) for uid in ("eve", "mallory")] == [[], ["mort-offer-1"]]


def test_a_room_of_an_offer_gets_no_documents_of_another_one(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    # eve's server says that lena made eve the offer that lena made clara
    forged: tuple[tuple[str, Mapping[str, Value]], ...] = (
        ("mortgage_applications", {"id": "app-2", "property_id": "", "borrower_uid": "eve"}),
        ("mortgage_offers", {"application_id": "app-2"}),
    )
    documents: tuple[tuple[str, Mapping[str, Value]], ...] = (
        ("contracts", {"created_by": "lena"}),
        ("contract_links", {"voucher_id": None, "room_id": OFFER_ROOM}),
    )
    take_from_another(take, connection, tmp_path / "first.sqlite", *forged)
    take(write(tmp_path / "second.sqlite", *documents, good=False))
    assert rejects(connection) == {"cl-1": "room_taken"}
    assert sees(connection, "eve") == ["mort-offer-1"]

    # nor does an offer, made here or elsewhere, open the room of documents that were there before
    empty(connection.info.dsn)
    take_from_another(take, connection, tmp_path / "third.sqlite", *documents)
    take(write(tmp_path / "fourth.sqlite", *forged, good=False))
    assert rejects(connection) == {"mort-offer-1": "room_taken"}
    offer = {"application_id": "app-2", "offer_id": "mort-offer-1"}
    assert call_or_reason(connection, thinker("lena", "lender"), "offer_mortgage", **offer) == "offer_exists"
    assert sees(connection, "eve") == []


def test_a_later_document_joins_those_of_its_creator_in_the_room_of_an_offer(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    room = {"voucher_id": None, "room_id": OFFER_ROOM}
    file = write(tmp_path / "d1.sqlite", ("contracts", {"created_by": "lena"}), ("contract_links", room))
    take(file)
    # lena stores one here
    connection.execute(
        "insert into public.contract_links (contract_id, room_id) select id, %s from public.contracts", (OFFER_ROOM,)
    )
    take(write(file, ("contract_links", {**room, "id": "cl-2"}), good=False))
    assert rejects(connection) == {}


def test_a_document_that_was_stored_here_is_not_linked(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    stored = "01a21da8-a4f3-7ca3-a219-9ba7ade8702d"
    connection.execute(
        "insert into public.contracts (id, name, storage_url, byte_size, hash_sha256, created_by)"
        " select %s, 'x', 'contracts/x/x', 1, repeat('a', 64), private.ensure_thinker('sam')",
        (stored,),
    )
    take(write(tmp_path / "d1.sqlite", ("contract_links", {"contract_id": stored})))
    assert rejects(connection) == {"cl-1": "contract_missing"}


@pytest.mark.parametrize("table", ["vouchers", "mortgage_applications"])
def test_what_was_made_here_after_an_imported_row_was_deleted_gets_no_rows(
    connection: psycopg.Connection, take: Take, tmp_path: Path, table: str
) -> None:
    file = tmp_path / "d1.sqlite"
    take(
        write(
            file,
            *((table, {}) for table in ("properties", "vouchers", "mortgage_applications", "contracts")),
            good=False,
        )
    )
    connection.execute(f"delete from public.{table}".encode())
    if table == "vouchers":
        call(connection, thinker("eve"), "issue_voucher", voucher_id="v-1")
        write(file, ("contract_links", {}), good=False)
        expected = {"cl-1": "voucher_missing"}
    else:
        call(connection, thinker("eve"), "apply_for_mortgage", application_id="app-1")
        write(file, ("mortgage_offers", {}), good=False)
        expected = {"mort-offer-1": "application_missing"}
    take(file)
    assert rejects(connection) == expected


def test_a_booked_voucher_is_nobodys_to_book_before_its_bookings_are_here(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    changes = {"valid_from": "2099-01-01T09:00:00.000Z", "valid_until": "2099-01-01T12:00:00.000Z"}
    take(write(tmp_path / "d1.sqlite", ("vouchers", changes), good=False))
    # as it is until the run ends, which reserves it
    connection.execute("update public.vouchers set issued_to = null")
    slot = "2099-01-01T09:00:00Z"
    told = call_or_reason(connection, thinker("eve"), "book_voucher", voucher_id="v-1", slot_start=slot)
    assert told == "voucher_not_found"
    assert call(connection, thinker("ben"), "book_voucher", voucher_id="v-1", slot_start=slot)


def test_a_voucher_is_nobodys_while_a_booking_of_it_waits(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    def booking(n: int, voucher: str, **changes: Value) -> tuple[str, Mapping[str, Value]]:
        slot = {"slot_start": f"2099-01-01T0{n}:00:00.000Z", "slot_end": f"2099-01-01T0{n + 1}:00:00.000Z"}
        return "voucher_bookings", {"id": f"b-{n}", "voucher_id": voucher, "holder_uid": "carl"} | slot | changes

    def offered(uid: str) -> list[str]:
        return [voucher["id"] for voucher in call(connection, thinker(uid), "list_vouchers")]

    window = {"valid_from": "2099-01-01T00:00:00.000Z", "valid_until": "2099-01-01T12:00:00.000Z"}
    bens: dict[str, Value] = {"holder_uid": "ben", "status": "cancelled", "cancelled_at": "2026-03-06T10:00:00.000Z"}
    file = write(
        tmp_path / "d1.sqlite",
        *(("vouchers", {"id": f"v-{n}", "holder_uid": "carl"} | window) for n in range(1, 4)),
        # anna's document for ben, who held the voucher before carl
        booking(1, "v-1", created_at="01.03.2026 11:00", **bens),
        booking(2, "v-1", created_at="07.03.2026 11:00"),
        ("contracts", {}), ("contract_links", {"room_id": None}),
        booking(3, "v-2", **bens), booking(4, "v-2", created_at="?"),
        booking(5, "v-3", **bens), booking(6, "v-3", created_at="?"),
        good=False,
    )  # fmt: skip
    # what another source says of its voucher of this id counts nothing
    take_from_another(take, connection, tmp_path / "eve.sqlite", booking(7, "v-4"))
    connection.execute("update private.import_rejects set source = 'https://eve.example'")
    write(file, ("vouchers", {"id": "v-4", "holder_uid": "carl"}), good=False)

    waiting = {f"b-{n}": "date_invalid" for n in (1, 2, 4, 6)} | {"b-7": "voucher_missing"}
    for _ in range(2):
        report = take(file)
        assert rejects(connection) == waiting
        assert (sees(connection, "carl"), offered("eve")) == ([], [])
        for n, voucher in ((2, "v-1"), (4, "v-2")):
            slot = f"2099-01-01T0{n}:00:00Z"
            told = call_or_reason(connection, thinker("eve"), "book_voucher", voucher_id=voucher, slot_start=slot)
            assert told == "voucher_not_found"
        assert dict(connection.execute("select id, private.uid_of(issued_to) from public.vouchers").fetchall()) == {
            "v-1": None, "v-2": None, "v-3": None, "v-4": "carl",
        }  # fmt: skip
        assert violations(connection) == {}
    assert report["statesSet"] == 0

    write(file, booking(4, "v-2"), booking(6, "v-3", **bens), good=False)
    take(file)
    assert rejects(connection) == {key: why for key, why in waiting.items() if key not in ("b-4", "b-6")}
    assert offered("eve") == ["v-3"]
    assert one(connection, "select status from public.vouchers where id = 'v-2'") == "booked"
    assert violations(connection) == {}


def test_a_room_of_several_creators_is_nobodys(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    file = write(
        tmp_path / "d1.sqlite",
        ("contracts", {"id": "ct-0", "storage_url": "contracts/ct-0/x", "created_by": "eve"}),
        ("contract_links", {"id": "cl-0", "contract_id": "ct-0", "voucher_id": None}),
        good=False,
    )
    take(file)
    owner = "select private.uid_of(owner_id) from public.rooms where id = 'desk'"
    assert one(connection, owner) == "eve"
    take(write(file, ("vouchers", {}), ("contracts", {}), ("contract_links", {}), good=False))
    assert rejects(connection) == {}
    assert one(connection, owner) is None
    assert [len(sees(connection, uid)) for uid in ("eve", "anna")] == [1, 1]


def test_the_documents_of_a_room_are_looked_at_once(connection: psycopg.Connection, tmp_path: Path) -> None:
    file = write(
        tmp_path / "d1.sqlite",
        *(
            ("contracts", {"id": f"ct-{n}", "storage_url": f"contracts/ct-{n}/x", "created_by": f"u-{n}"})
            for n in range(5)
        ),
        *(("contract_links", {"id": f"cl-{n}", "contract_id": f"ct-{n}", "voucher_id": None}) for n in range(5)),
        good=False,
    )
    with connection.transaction(), open_d1(file) as source:
        connection.execute("set local track_functions = 'all'")
        assert load(connection, source).is_balanced
        calls = "select calls from pg_stat_xact_user_functions where funcname = 'import_room_is_taken'"
        assert one(connection, calls) == 1


@pytest.mark.parametrize("wrong", [{"status": "?"}, {"created_at": "03.03.2026 10:00"}, {"holder_uid": "x" * 256}])
def test_nobody_claims_a_thinker_whose_rows_were_all_rejected(
    connection: psycopg.Connection, take: Take, tmp_path: Path, wrong: dict[str, Value]
) -> None:
    take(write(tmp_path / "d1.sqlite", ("vouchers", {"issuer_uid": "rita", **wrong}), good=False))
    assert list(rejects(connection)) == ["v-1"]
    claim = partial(call_or_reason, connection, SERVER, "claim_thinker", uid="rita")
    assert claim(session_id=uuid4()) == "not_yourself"
    # nor does a row that stays rejected take back what an operator releases
    assert claim(session_id=uuid4(), known=True) == ""
    connection.execute("select private.release_thinker('rita')")
    take(tmp_path / "d1.sqlite")
    assert claim(session_id=uuid4()) == ""


def test_a_key_goes_to_one_host(connection: psycopg.Connection) -> None:
    with pytest.raises(PortalError, match="IMPORT_API_KEY is the key of one host"):
        run("import", "http", "http://127.0.0.1:9", "http://localhost:9", IMPORT_API_KEY="key")


@pytest.mark.parametrize("event", ["ev-2", "019cdaec-0000-7000-8000-000000000000"])
def test_an_imported_event_is_none_of_a_change_made_here(
    connection: psycopg.Connection, take: Take, tmp_path: Path, event: str
) -> None:
    call(connection, thinker("anna"), "issue_voucher", voucher_id="v-here")
    said: dict[str, Value] = {
        "id": event, "type": "voucher.issue", "subject_type": "voucher", "subject_id": "v-here",
    }  # fmt: skip
    take(write(tmp_path / "d1.sqlite", ("events", said), good=False))
    assert violations(connection) == {}
    assert one(connection, "select count(*) from public.events where subject_id = 'v-here'") == 2


@pytest.mark.parametrize("status", ["accepted", "rejected", "open"])
def test_an_imported_offer_for_a_closed_application_is_not_accepted(
    connection: psycopg.Connection, take: Take, tmp_path: Path, status: str
) -> None:
    file = write(tmp_path / "d1.sqlite", ("mortgage_applications", {"status": status}))
    take(file)
    accept = partial(call_or_reason, connection, thinker("clara"), "accept_mortgage_offer")
    if status == "open":
        assert "contract" in accept(offer_id="mort-offer-1")
        take(write(file, ("mortgage_offers", {"id": "mort-offer-2"}), good=False))
        assert accept(offer_id="mort-offer-2") == "offer_not_open"
    else:
        assert accept(offer_id="mort-offer-1") == "offer_not_open"
    contracts = one(connection, "select count(*) from public.mortgage_contracts")
    assert contracts == (1 if status == "open" else 0)


def test_no_row_takes_the_id_that_another_becomes(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    uuid = one(connection, "select private.import_uuid('ct-1')::text")
    evil = ("contracts", {"id": uuid, "created_by": "eve", "storage_url": f"contracts/{uuid}/x"})
    file = write(tmp_path / "d1.sqlite", evil, good=False)
    take(write(file))
    assert rejects(connection) == {}
    assert one(connection, "select private.uid_of(created_by) from public.contracts where id = %s", uuid) == "anna"


def test_an_imported_event_has_no_id_of_one_made_here(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    call(connection, thinker("anna"), "issue_voucher", voucher_id="v-here")
    made = one(connection, "select id::text from public.events where subject_id = 'v-here'")
    take(write(tmp_path / "d1.sqlite", ("events", {"id": made}), good=False))
    assert rejects(connection) == {made: "id_taken"}
    assert violations(connection) == {}


@pytest.mark.parametrize("carl", ["waits", "is erased before", "is erased while it waits"])
def test_an_imported_document_is_nobodys_while_a_booking_of_its_voucher_is_not_here(
    connection: psycopg.Connection, take: Take, tmp_path: Path, carl: str
) -> None:
    connection.execute("select private.ensure_thinker('carl')")
    if carl == "is erased before":
        connection.execute("select private.erase_thinker('carl')")
    hours = {"valid_from": "2099-01-01T00:00:00.000Z", "valid_until": "2099-01-01T12:00:00.000Z"}
    slots = [
        {"slot_start": f"2099-01-01T0{n}:00:00.000Z", "slot_end": f"2099-01-01T0{n + 1}:00:00.000Z"} for n in (1, 2)
    ]
    bad = {"created_at": "never"} if carl != "is erased before" else {"created_at": "2026-03-04T10:00:00.000Z"}
    take(
        write(
            tmp_path / "d1.sqlite",
            ("vouchers", hours | {"holder_uid": "mallory"}),
            ("voucher_bookings", {"id": "b-1", "holder_uid": "mallory", **slots[0]}),
            ("voucher_bookings", {"id": "b-2", "holder_uid": "carl", **slots[1], **bad}),
            ("contracts", {}),
            ("contract_links", {"room_id": None}),
            good=False,
        )
    )
    if carl == "is erased while it waits":
        connection.execute("select private.erase_thinker('carl')")
    assert one(connection, "select content ->> 'voucher_id' from private.import_rejects") == "v-1"
    assert call(connection, thinker("mallory"), "list_contracts") == []
    # once it is known that carl's booking was none
    connection.execute("update private.import_rejects set resolved_at = now(), reason = 'value_invalid'")
    assert len(call(connection, thinker("mallory"), "list_contracts")) == 1


@pytest.mark.parametrize(
    ("table", "carls"),
    [
        ("voucher_bookings", {"id": "b-2", "holder_uid": "carl", "created_at": "never"}),
        ("vouchers", {"holder_uid": "carl", "status": "booked", "created_at": "never"}),
        ("vouchers", {"holder_uid": "erased", "status": "booked"}),
    ],
)
def test_an_imported_document_is_nobodys_while_its_voucher_is_not_as_the_old_store_has_it(
    connection: psycopg.Connection, take: Take, tmp_path: Path, table: str, carls: Mapping[str, Value]
) -> None:
    connection.execute("select private.ensure_thinker('erased'); select private.erase_thinker('erased')")
    file = tmp_path / "d1.sqlite"
    bens = {"holder_uid": "ben", "status": "issued"}
    take(write(file, ("vouchers", bens), ("contracts", {}), ("contract_links", {"room_id": None}), good=False))
    # what another source says of its voucher of this id counts nothing
    connection.execute(
        "insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, run)"
        " select 'eve', t.name, 'v-1', gen_random_uuid(), '{\"voucher_id\": \"v-1\"}', 'date_invalid', 0"
        " from unnest('{vouchers,voucher_bookings}'::text[]) as t (name)"
    )
    # reserved for ben
    assert len(call(connection, thinker("ben"), "list_contracts")) == 1
    later = ("contract_links", {"id": "cl-2", "room_id": None, "created_at": "2026-03-06T10:00:00.000Z"})
    take(write(file, later, (table, carls), good=False))
    assert call(connection, thinker("ben"), "list_contracts") == []
    # ben sees what anna links here, because the voucher is reserved for him
    ours = (
        "update private.import_rows set id = id || '-of-others' where legacy_table = 'contract_links' and id = 'cl-2'"
    )
    connection.execute(ours)
    assert len(call(connection, thinker("ben"), "list_contracts")) == 1


def test_a_room_of_an_offer_under_way_gets_no_documents(
    connection: psycopg.Connection, shared_database: str, take: Take, tmp_path: Path
) -> None:
    call(connection, thinker("mallory"), "apply_for_mortgage", application_id="app-here")
    link = ("contract_links", {"voucher_id": None, "room_id": OFFER_ROOM})
    file = write(tmp_path / "d1.sqlite", ("contracts", {}), link, good=False)
    with psycopg.connect(shared_database) as offering, ThreadPoolExecutor() as threads:
        with offering.transaction():
            offer = {"application_id": "app-here", "offer_id": "mort-offer-1", "room_refs": {}}
            call(offering, thinker("eve", "lender"), "offer_mortgage", **offer)
            taken = threads.submit(take, file)
            wait_for_row(connection, "select from pg_locks where not granted")
        taken.result(timeout=60)
    assert rejects(connection) == {"cl-1": "room_taken"}
