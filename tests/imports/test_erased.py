"""An import does not bring back who was erased."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from api.actor import SERVER
from tests.imports.conftest import Take
from tests.imports.legacy import Value, write
from tests.support.acting import call, call_or_reason, one, thinker
from tests.support.charging import charge, violations
from tests.support.waiting import wait_for_row, wait_until


def test_an_erased_thinker_does_not_come_back(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    broken = ("vouchers", {"id": "v-broken", "issuer_uid": "anna", "created_at": "never"})
    take(write(tmp_path / "d1.sqlite", broken))
    assert one(connection, "select private.erase_thinker('anna')")["rows"]["import_rejects"] == {"emptied": 1}
    assert violations(connection) == {}
    assert rejected(take(tmp_path / "d1.sqlite")) == {}

    # in a newer export one of her rows is new, and another has changed
    newer = write(
        tmp_path / "newer.sqlite",
        broken,
        ("telemetry_events", {"id": "te-2", "actor_uid": "anna"}),
        ("telemetry_events", {"id": "te-3", "actor_uid": "ben"}),
        ("vouchers", {"id": "v-1", "description": "Anna privat"}),
    )
    assert rejected(take(newer)) == {"telemetry_events": 1, "vouchers": 1}
    assert rejected(take(newer)) == {}
    assert one(connection, "select count(*) from public.telemetry_events") == 2
    assert one(connection, "select count(*) from public.thinkers where public_id = 'anna'") == 0
    assert one(connection, "select array_agg(distinct content) from private.import_rejects") == [{}]


def test_a_row_that_is_listed_twice_ends_no_import(connection: psycopg.Connection, take: Take, tmp_path: Path) -> None:
    connection.execute("select private.ensure_thinker('anna')")
    one(connection, "select private.erase_thinker('anna')")
    twice = [("vouchers", {"id": None, "issuer_uid": "anna"})] * 2
    good = ("vouchers", {"id": "v-1", "issuer_uid": "ben"})
    assert rejected(take(write(tmp_path / "d1.sqlite", *twice, good, good=False))) == {"vouchers": 2}
    assert one(connection, "select array_agg(id) from public.vouchers") == ["v-1"]
    assert one(connection, "select count(*) from private.import_rejects") == 1


def test_who_came_back_is_imported_once_no_longer_listed_as_erased(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    for uid in ("anna", "zoe"):
        connection.execute("select private.ensure_thinker(%s)", (uid,))
        connection.execute("select private.erase_thinker(%s)", (uid,))
    zoes = ("vouchers", {"id": "v-2", "issuer_uid": "zoe"})
    bad = ("vouchers", {"id": "v-3", "created_at": "never"})
    file = write(tmp_path / "d1.sqlite", ("vouchers", {}), zoes, bad, good=False)
    assert rejected(take(file)) == {"vouchers": 3}
    connection.execute("delete from private.erased_uids where hash = sha256('anna')")
    assert rejected(take(file)) == {"vouchers": 1}
    assert one(connection, "select array_agg(id) from public.vouchers") == ["v-1"]
    found = connection.execute("select row_id, reason, resolved_at is null from private.import_rejects order by 1")
    assert found.fetchall() == [("v-2", "thinker_erased", False), ("v-3", "date_invalid", True)]


def test_nobody_claims_the_other_people_of_an_erased_thinkers_rows(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    connection.execute("select private.ensure_thinker('anna')")
    one(connection, "select private.erase_thinker('anna')")
    file = write(tmp_path / "d1.sqlite", ("vouchers", {"issuer_uid": "anna", "holder_uid": "hilda"}), good=False)
    assert rejected(take(file)) == {"vouchers": 1}
    claim = partial(call_or_reason, connection, SERVER, "claim_thinker", session_id=uuid4())
    assert claim(uid="hilda") == "not_yourself"
    assert one(connection, "select count(*) from public.thinkers where public_id = 'anna'") == 0


@pytest.mark.parametrize("application", [None, "app-1"], ids=["another application", "the erased one's id"])
def test_an_erased_property_that_is_made_again_stays_of_who_made_it(
    connection: psycopg.Connection, take: Take, tmp_path: Path, application: str | None
) -> None:
    unknown = ("properties", {"address": None, "meta": None})
    take(write(tmp_path / "d1.sqlite", unknown, ("mortgage_applications", {"borrower_uid": "clara"}), good=False))
    one(connection, "select private.erase_thinker('clara')")
    call(connection, thinker("eve"), "apply_for_mortgage", application_id=application, property_id="house-1")
    zoes = ("mortgage_applications", {"id": "app-2", "borrower_uid": "zoe"})
    assert rejected(take(write(tmp_path / "later.sqlite", zoes, good=False))) == {}
    assert rejected(take(write(tmp_path / "newer.sqlite", ("properties", {}), good=False))) == {"properties": 1}
    assert one(connection, "select reason from private.import_rejects") == "changed_here"
    assert one(connection, "select address from public.properties") is None


@pytest.mark.parametrize("erased", ["clara", "zoe"])
def test_the_property_of_an_erased_borrower_is_not_the_next_applicants(
    connection: psycopg.Connection, take: Take, tmp_path: Path, erased: str
) -> None:
    connection.execute("select private.ensure_thinker(%s)", [erased])
    one(connection, "select private.erase_thinker(%s)", erased)
    applications = [
        ("mortgage_applications", {"id": f"app-{uid}", "borrower_uid": uid}) for uid in ("clara", "mallory", "zoe")
    ]
    take(write(tmp_path / "d1.sqlite", ("properties", {}), *applications, good=False))
    found = connection.execute("select address, private.uid_of(created_by) from public.properties").fetchone()
    assert found == ((None, "mallory") if erased == "clara" else ("Am Markt 1", "clara"))


def test_who_is_erased_while_a_batch_is_imported_does_not_come_back(
    connection: psycopg.Connection, shared_database: str, take: Take, tmp_path: Path
) -> None:
    connection.execute("select private.ensure_thinker('anna')")
    file = write(
        tmp_path / "d1.sqlite",
        ("telemetry_events", {"actor_uid": "zoe"}),
        ("telemetry_events", {"id": "te-2", "actor_uid": "anna"}),
        good=False,
    )
    waiting = "select count(*) from pg_locks where not granted"
    with (
        psycopg.connect(shared_database) as naming,
        psycopg.connect(shared_database, autocommit=True) as operator,
        ThreadPoolExecutor() as threads,
    ):
        with naming.transaction():
            # the batch has looked who is erased, and waits for this one
            naming.execute("select private.ensure_thinker('zoe')")
            taken = threads.submit(take, file)
            wait_until(lambda: one(connection, waiting) == 1)
            erasing = threads.submit(one, operator, "select private.erase_thinker('anna')")
            wait_until(lambda: erasing.done() or one(connection, waiting) == 2)
        assert taken.result(timeout=60)["tables"]["telemetry_events"]["written"] == 2
        assert erasing.result(timeout=60)["rows"]["telemetry_events"] == {"deleted": 1}
    assert one(connection, "select array_agg(public_id) from public.thinkers where public_id in ('anna', 'zoe')") == [
        "zoe"
    ]
    assert one(connection, "select count(*) from public.telemetry_events") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"actor_id": "anna"},
        {"subject_type": "thinker", "subject_id": "anna"},
        {"meta": '{"payer": "anna"}'},
        {"meta": '{"before": {"parties": ["ben", "anna"]}}'},
        {"meta": '{"holder": "\\u0061nna"}'},
        {"meta": '{"payer": "anna"'},
        {"meta": '{"path": {"payer": "anna"}}'},
    ],
)
def test_the_log_does_not_name_an_erased_thinker_again(
    connection: psycopg.Connection, take: Take, tmp_path: Path, change: dict[str, Value]
) -> None:
    take(write(tmp_path / "d1.sqlite"))
    one(connection, "select private.erase_thinker('anna')")
    others: list[dict[str, Value]] = [
        {"id": "ev-3", "meta": '{"title": "Hannah und anna"}'},
        {"id": "ev-4", "subject_id": "anna-1"},
    ]
    unread: dict[str, Value] = {"id": "ev-6", "meta": f'{{"payer": "anna"{" " * 2**16}}}'}
    newer = write(
        tmp_path / "newer.sqlite",
        ("events", {"id": "ev-2", **change}),
        *(("events", other) for other in [*others, unread]),
        good=False,
    )
    assert rejected(take(newer)) == {"events": 2}
    reasons = connection.execute(
        "select row_id, reason, content from private.import_rejects order by row_id"
    ).fetchall()
    assert [row[:2] for row in reasons] == [
        ("ev-2", "thinker_erased"),
        ("ev-6", "json_unreasonable"),
    ]
    assert reasons[0][2] == {}


def test_ids_of_other_things_are_no_uids_of_an_erased_thinker(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    for word in ("b-1", "v-1", "consulting.session"):
        connection.execute("select private.ensure_thinker(%s)", (word,))
        one(connection, "select private.erase_thinker(%s)", word)
    issued: dict[str, Value] = {
        "id": "ev-2", "subject_type": "voucher", "subject_id": "v-1", "meta": '{"serviceType": "consulting.session"}'
    }  # fmt: skip
    named: dict[str, Value] = {"id": "ev-3", "subject_type": None, "meta": None}
    assert rejected(take(write(tmp_path / "d1.sqlite", ("events", issued), ("events", named)))) == {"events": 1}
    assert one(connection, "select array_agg(row_id) from private.import_rejects") == ["ev-3"]


def test_an_imported_event_makes_nobody_an_operator_of_the_books(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    charge(connection, "2025-03-05", 250)
    connection.execute("set portal.operator = 'alice'")
    settlement = one(connection, "select public.settle_fees('2025-03-01', '2025-04-01') -> 0 ->> 'id'")
    connection.execute("reset portal.operator")
    said: dict[str, Value] = {
        "type": "settlement.created", "actor_id": "alice", "subject_type": "settlement", "subject_id": settlement,
    }  # fmt: skip
    take(write(tmp_path / "d1.sqlite", ("events", said), good=False))
    one(connection, "select private.erase_thinker('alice')")
    assert one(connection, "select created_by from public.settlements") == "alice"


def test_events_that_wait_keep_nothing_of_an_erased_thinker(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    connection.execute("select private.ensure_thinker('clara')")
    waiting: list[dict[str, Value]] = [
        {"id": "ev-subject", "subject_type": "thinker", "subject_id": "clara"},
        {"id": "ev-meta", "meta": '{"to": ["clara"], "words": "Clara Muster"}'},
        {"id": "ev-escaped", "meta": '{"to": ["\\u0063lara"]}'},
        {"id": "ev-broken", "meta": '{"to": ["clara"], "words": "Clara Mus'},
        {"id": "ev-blob", "meta": b'{"to": ["clara"], "words": "Clara Mus\xff'},
        {"id": "ev-other", "meta": '{"words": "Clara Muster"}'},
    ]
    take(
        write(tmp_path / "d1.sqlite", *(("events", {"created_at": "never", **event}) for event in waiting), good=False)
    )
    assert one(connection, "select private.erase_thinker('clara')")["rows"]["import_rejects"] == {"emptied": 4}
    kept: dict[str, Value] = dict(
        connection.execute("select row_id, content -> 'meta' from private.import_rejects where content <> '{}'")
    )
    assert kept == {"ev-other": '{"words": "Clara Muster"}', "ev-blob": {"cut": "", "bytes": 66}}


def test_an_erasure_reads_the_meta_of_rejects_that_may_name_the_thinker(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    connection.execute("select private.ensure_thinker('clara')")
    metas = ['{"payer": "clara"}', *(json.dumps({"texts": ["a"] * texts}) for texts in (10_000, 20_000))]
    events = [("events", {"id": f"ev-{len(meta)}", "created_at": "never", "meta": meta}) for meta in metas]
    take(write(tmp_path / "d1.sqlite", *events, good=False))
    assert one(connection, "select max(octet_length(content ->> 'meta')) from private.import_rejects") < 65_536
    with connection.transaction():
        connection.execute("set local track_functions = 'pl'")
        one(connection, "select private.erase_thinker('clara')")
        assert one(connection, "select calls from pg_stat_xact_user_functions where funcname = 'import_names'") == 1


def rejected(report: dict[str, dict[str, dict[str, int]]]) -> dict[str, int]:
    """How many rows of each table were rejected."""
    return {table: part["rejected"] for table, part in report["tables"].items() if part["rejected"]}


def test_nobody_waits_for_a_voucher_while_an_erasure_reads_what_was_rejected(
    connection: psycopg.Connection, shared_database: str, take: Take, tmp_path: Path
) -> None:
    call(connection, thinker("anna"), "issue_voucher", voucher_id="v-here")
    take(
        write(tmp_path / "d1.sqlite", ("transfers", {"fiat_amount": "much"}), ("vouchers", {"status": "?"}), good=False)
    )
    with (
        psycopg.connect(shared_database) as holding,
        psycopg.connect(shared_database) as booking,
        psycopg.connect(shared_database, autocommit=True) as operator,
        ThreadPoolExecutor() as threads,
    ):
        holding.execute("select from private.import_rejects where legacy_table = 'vouchers' for update")
        erased = threads.submit(one, operator, "select private.erase_thinker('anna')")
        wait_for_row(connection, "select from pg_locks where not granted")
        booking.execute("select from public.vouchers where id = 'v-here' for no key update nowait")
        booking.rollback()
        holding.rollback()
        assert erased.result(timeout=60)["rows"]["import_rejects"] == {"emptied": 1}
