"""`portal erase thinker`: what may go goes, accounts stay under a pseudonym, and nothing leads back."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from api.actor import Actor
from api.errors import ApiError, PortalError
from api.settings import ROOT
from api.storage import Storage
from tests.cli.running import portal, run
from tests.cli.running import rows as cells
from tests.persons.conftest import end_obligations
from tests.persons.test_export import data
from tests.support.acting import act, be_operator, call, connections, one, thinker, unchecked
from tests.support.charging import violations
from tests.support.usage import rows, tables
from tests.support.waiting import wait_for_row, wait_until

MARK = "Geheimnis"
"""What stands in every column that is said to be emptied."""

HERS: dict[str, LiteralString] = {
    "events": "actor_id = private.thinker_id('anna')",
    "vouchers": "issuer_id = private.thinker_id('anna')",
    "voucher_bookings": "status = 'cancelled'",
    "properties": "id = 'flat'",
    "mortgage_applications": "borrower_id = private.thinker_id('anna')",
    "mortgage_offers": "lender_id = private.thinker_id('anna')",
    "transfers": "thinker_id = private.thinker_id('anna')",
    "private.import_rejects": "true",
}
"""Which rows of a table that has such columns are anna's."""

PAGE = (ROOT / "docs" / "privacy.md").read_text()

AMOUNTS = {"direction": "in", "crypto_amount": 1, "crypto_symbol": "ETH", "fiat_major": 1, "fiat_currency": "EUR"}
"""What log_transfer needs."""

DAY = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z"}

FIGURES = ("revenue_by_day", "fees_by_day", "settlements", "owed", "receivables", "transfers_by_day")
"""What an erasure must not change. (Offers that nobody booked go, and are not counted any more.)"""


WORDS = ("EUR", "alice", "booked", "by", "created_by", "payer", "postgres", "service_role", "voucherId")
"""Uids that are ordinary words: a uid may be any text."""

STEPS: dict[str, tuple[LiteralString, LiteralString]] = {
    "fee_events.operator": (
        "select public.adjust_fee(id, 1, 'x') from public.fee_events where fee_id = 'world.sam' and adjusts is null",
        "select operator from public.fee_events",
    ),
    "fee_versions.changed_by": (
        "update public.fees set percentage = percentage + 0.1 where id = 'world.sam'",
        "select changed_by from public.fee_versions",
    ),
    "settlements.created_by": (
        "select public.settle_fees('2026-01-01', '2100-01-01')",
        "select created_by from public.settlements",
    ),
}
"""What an operator does to the books, and the names that they have of it."""


def fates() -> dict[str, tuple[str, set[str], set[str], set[str]]]:
    """What the documentation says of each table: which rows go, and the columns emptied, renamed and kept."""
    section = PAGE.partition("## What becomes of each column")[2].partition("\n## ")[0]
    found = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            table, deleted, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            emptied, renamed, kept = (set(re.findall(r"`(\w+)`", cell)) for cell in cells)
            found[table.strip("`")] = (deleted, emptied, renamed, kept)
    return found


def erase(connection: psycopg.Connection, uid: str) -> dict[str, Any]:
    erased: dict[str, Any] = one(connection, "select private.erase_thinker(%s)", uid)
    return erased


def refusal(connection: psycopg.Connection, uid: str) -> str:
    with pytest.raises(psycopg.Error) as refused, connection.transaction():
        erase(connection, uid)
    assert refused.value.diag.message_primary == "thinker_has_obligations"
    return refused.value.diag.message_detail or ""


def keyed(connection: psycopg.Connection) -> dict[str, dict[str, dict[str, Any]]]:
    """Every row of every table, by its primary key."""
    keys: dict[str, list[str]] = dict(
        connection.execute(
            "select i.indrelid::regclass::text, array_agg(a.attname::text order by a.attname)"
            " from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)"
            " where i.indisprimary group by 1"
        ).fetchall()
    )
    return {
        table: {json.dumps([row[column] for column in keys[table]]): row for row in found}
        for table, found in rows(connection).items()
    }


def renamed(value: Any, pseudonym: str) -> Any:
    return json.loads(json.dumps(value).replace(pseudonym, "anna"))


def figures(connection: psycopg.Connection, pseudonym: str = "anna") -> dict[str, list[str]]:
    """The rows of each figure, with anna's uid for her pseudonym."""
    return {
        name: sorted(
            json.dumps(renamed(row, pseudonym))
            for [row] in connection.execute(f"select to_jsonb(t) from stats.{name} t".encode())
        )
        for name in FIGURES
    }


def test_the_documentation_names_every_column(world: psycopg.Connection) -> None:
    documented = fates()
    assert set(documented) == set(tables(world))
    for table, (deleted, *columns) in documented.items():
        actual = {
            name
            for [name] in world.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
                (table,),
            )
        }
        named: set[str] = set().union(*columns)
        if deleted == "all" or "only_row" in named:
            named |= actual
        assert named == actual, table


def test_an_erasure_changes_what_the_documentation_says_and_leaves_no_trace(world: psycopg.Connection) -> None:
    end_obligations(world)
    # an offer of anna that was not accepted
    world.execute("update public.thinkers set roles = '{lender}' where public_id = 'anna'")
    act(world, thinker("sam"), "apply_for_mortgage", application_id="sam-4", desired_loan=100)
    act(world, thinker("anna"), "offer_mortgage", application_id="sam-4", offer_id="anna-1")
    world.execute("update public.mortgage_offers set status = 'withdrawn' where id = 'anna-1'")
    documented = fates()
    with unchecked(world):
        for table, (_, emptied, _, _) in documented.items():
            mark(world, table, emptied)
    before = keyed(world)
    assert MARK in json.dumps(before)
    shown = figures(world)
    books = one(world, "select public.get_balance()")

    erased = erase(world, "anna")

    after = keyed(world)
    for table, (deleted, emptied, names, _) in documented.items():
        gone = before[table].keys() - after[table].keys()
        assert not gone or deleted or "beneficiary_id" in names, table
        changed = {
            column
            for key in before[table].keys() & after[table].keys()
            for column, value in before[table][key].items()
            if after[table][key][column] != value
        }
        # a time, and the sum of the documents that stay
        assert changed - emptied - names <= {"updated_at", "bytes"}, table
    left = json.dumps(after, ensure_ascii=False)
    assert MARK not in left
    assert '"anna"' not in left
    assert one(world, "select private.thinker_id('anna')::text") not in left
    assert f'"{erased["pseudonym"]}"' in left

    assert {name: number for name, number in violations(world).items() if number} == {}
    assert figures(world, erased["pseudonym"]) == shown
    assert renamed(one(world, "select public.get_balance()"), erased["pseudonym"]) == books
    [event] = world.execute(
        "select subject_id, actor_id, meta ->> 'by' from public.events where type = 'thinker.erased'"
    )
    assert event == (erased["pseudonym"], None, "postgres")


def test_no_event_names_an_erased_thinker(world: psycopg.Connection) -> None:
    """The erasure knows every key under which an event names a thinker."""
    end_obligations(world)
    for uid in ("ben", "sam", "zoe"):
        named = json.dumps(rows(world)["events"])
        assert f'"{uid}"' in named
        erase(world, uid)
        left = json.dumps(rows(world)["events"])
        assert f'"{uid}"' not in left
        assert one(world, "select private.thinker_id(%s)::text", uid) not in left


def mark(connection: psycopg.Connection, table: str, columns: set[str]) -> None:
    """Writes the mark into the texts and the JSON of anna's rows that are said to be emptied."""
    for column in columns - {"status", "visibility", "resolved_at"}:
        [(kind,)] = connection.execute(
            "select atttypid::regtype::text from pg_attribute where attrelid = %s::regclass and attname = %s",
            (table, column),
        ).fetchall()
        value = f'{{"issuer_uid": "anna", "note": "{MARK}"}}' if kind == "jsonb" else MARK
        marked = connection.execute(
            sql.SQL("update {} set {} = {} where {}").format(
                sql.Identifier(*table.split(".")),
                sql.Identifier(column),
                f"[{value}]" if column == "allowed_slots" else value,
                sql.SQL(HERS[table]),
            )
        )
        assert marked.rowcount > 0, (table, column)


def test_a_uid_that_is_a_word_changes_nothing_of_others(world: psycopg.Connection) -> None:
    world.execute("set local portal.operator = 'alice'")
    world.execute(STEPS["fee_events.operator"][0])
    world.execute(STEPS["fee_versions.changed_by"][0])
    response = {"id": "booked", "alice": "EUR", "items": [{"payer": "by", "issuer_uid": "anna", "EUR_uid": "ben"}]}
    world.execute(
        "insert into private.idempotency_keys (actor, key, fingerprint, response)"
        " values ('service_role', 'k', sha256('k'), %s)",
        (json.dumps(response),),
    )
    before = keyed(world)
    log = json.dumps([*before["events"].values(), *before["settlements"].values(), *before["fee_events"].values()])
    assert [word for word in WORDS if f'"{word}"' not in log] == []
    for word in WORDS:
        world.execute("select private.ensure_thinker(%s)", (word,))
        erase(world, word)
    after = keyed(world)
    after["events"] = {key: row for key, row in after["events"].items() if row["type"] != "thinker.erased"}
    assert [table for table in before if before[table] != after[table]] == ["private.erased_uids", "thinkers"]


def test_stored_responses_to_others_that_name_the_person_go(world: psycopg.Connection) -> None:
    """A stranger who has the response replayed learns no pseudonym."""
    end_obligations(world)
    victim = one(world, "select private.thinker_id('anna')::text")
    named = [{"terms": {"guess_uid": "anna"}}, {"items": [{"holder_uid": "anna"}]}, {"issued_to": victim}]
    other = [{"id": "anna", "anna": 1, "label": r"""[ "issuer_uid": "anna" """, "payer_uid": "ben"}]
    for number, response in enumerate(named + other):
        world.execute(
            "insert into private.idempotency_keys (actor, key, fingerprint, response)"
            " values ('service_role', %s, sha256('k'), %s)",
            (f"k{number}", json.dumps(response)),
        )
    erased = erase(world, "anna")
    assert erased["rows"]["idempotency_keys"]["deleted"] >= len(named)
    assert [r for [r] in world.execute("select response from private.idempotency_keys where key ~ '^k[0-9]$'")] == other
    assert erased["pseudonym"] not in json.dumps(rows(world)["private.idempotency_keys"])


def test_the_books_name_the_pseudonym_where_the_thinker_acted(world: psycopg.Connection) -> None:
    """An operator whose login is the uid of a thinker keeps the name."""
    world.execute("select private.ensure_thinker('amy')")
    claims = json.dumps({"sub": one(world, "select private.thinker_id('amy')::text")})
    for settings in (("", "amy"), (claims, "")):
        world.execute(
            "select set_config('request.jwt.claims', %s, true), set_config('portal.operator', %s, true)", settings
        )
        for step, _ in STEPS.values():
            world.execute(step)
    be_operator(world)
    pseudonym = erase(world, "amy")["pseudonym"]
    for column, (_, names) in STEPS.items():
        assert {name for [name] in world.execute(names)} >= {"amy", pseudonym}, column
    by = "select type, meta ->> 'by', actor_id is null from public.events where meta ->> 'by' in ('amy', %s)"
    assert {(name, operator) for _, name, operator in world.execute(by, (pseudonym,))} == {
        ("amy", True),
        (pseudonym, False),
    }


def test_an_erasure_is_refused_while_something_is_left(world: psycopg.Connection) -> None:
    end_obligations(world)
    window = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z"}
    cases: dict[str, LiteralString] = {
        "booking b-future, which ends at 2030-01-07T10:00:00.000Z":
            "insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end)"
            " select 'b-future', id, issuer_id, private.thinker_id('ben'), '2030-01-07 09:00Z', '2030-01-07 10:00Z'"
            " from public.vouchers where id = 'booked'",
        "voucher given, reserved for ben":
            "update public.vouchers set valid_until = now() + interval '1 day' where id = 'given'",
        "mortgage contract .*, which not all have signed":
            "update public.mortgage_contracts set status = 'draft', notary_signed_at = null where offer_id = 'ben-1'",
        r"-7 EUR \(minor units\) that anna owes to togethersystems, in no settlement yet":
            "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
            " payer_id, reason, operator, adjusts)"
            " select fee_id, subject_type, subject_id, -7, currency, beneficiary_id, payer_id, 'late', 'x', id"
            " from public.fee_events where fee_id = 'voucher.booking' and payer_id = private.thinker_id('anna')"
            " and reverses is null limit 1",
        "fee world.anna, of which it is the beneficiary":
            "update public.fees set active = true where id = 'world.anna'",
        "a token that may be valid until .*Z":
            "update public.thinkers set verified_at = now() where public_id = 'anna'",
    }  # fmt: skip
    for expected, statement in cases.items():
        with world.transaction(force_rollback=True):
            with unchecked(world):
                assert world.execute(statement).rowcount == 1, expected
            assert re.fullmatch(expected, refusal(world, "anna"))
    with world.transaction(force_rollback=True):
        world.execute("create table auth.users as select private.thinker_id('anna') as id")
        assert refusal(world, "anna") == "the user of Supabase Auth, who could sign in again"
    with world.transaction(force_rollback=True):
        world.execute("update public.thinkers set roles = '{lender}' where public_id = 'anna'")
        act(world, thinker("sam"), "apply_for_mortgage", application_id="sam-4", desired_loan=100)
        act(world, thinker("anna"), "offer_mortgage", application_id="sam-4", offer_id="anna-1")
        act(world, thinker("anna"), "issue_voucher", voucher_id="free", **window)
        assert refusal(world, "anna") == "mortgage offer anna-1, which is open"


def test_an_operator_closes_offers_that_others_book_again_and_again(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        times = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z"}
        call(connection, thinker("anna"), "issue_voucher", voucher_id="offer", **times)
        close = re.search(r"`(update public.vouchers set status = 'cancelled' where [^`]+)`", PAGE)
        assert close
        connection.execute(close[1].replace("thinker-0123456789ab", "anna").encode())
        booking = {"voucher_id": "offer", "slot_start": times["valid_from"]}
        assert outcome(connection, thinker("eve"), "book_voucher", **booking) == "PT404"
        assert erase(connection, "anna")["pseudonym"]


def test_no_event_is_compared_with_each_of_many_bookings(world: psycopg.Connection) -> None:
    end_obligations(world)
    with unchecked(world):
        world.execute(
            "insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end, status,"
            " cancelled_at) select n, v.id, v.issuer_id, private.thinker_id('anna'), v.valid_from,"
            " v.valid_from + interval '1 hour', 'cancelled', now() from public.vouchers v, generate_series(1, 5000) n"
            " where v.id = 'booked'"
        )
        world.execute(
            "insert into public.events (type, subject_type, subject_id, meta)"
            " select 'voucher.book', 'voucher_booking', n, '{\"note\": 1}' from generate_series(1, 5000) n"
        )
    world.execute("analyze public.voucher_bookings, public.events")
    # less than the bookings need, as the usual 4 MB for a hundred thousand
    world.execute("set local work_mem = '64kB'")
    plans: list[str] = []
    world.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    world.execute(
        "load 'auto_explain'; set local auto_explain.log_min_duration = 0; set local auto_explain.log_analyze = on;"
        " set local auto_explain.log_nested_statements = on; set local client_min_messages = log"
    )
    assert erase(world, "anna")["rows"]["events"]["emptied"] > 5000
    world.execute("set local client_min_messages = notice")
    reading = [plan for plan in plans if "update public.events" in plan and "from public.voucher_bookings" in plan]
    assert len(reading) == 3
    read = re.findall(r"actual .*rows=([\d.]+) loops=(\d+)", "\n".join(reading))
    assert max(float(number) * int(times) for number, times in read) < 100_000


def test_the_same_uid_begins_anew(world: psycopg.Connection) -> None:
    end_obligations(world)
    erase(world, "anna")
    assert act(world, thinker("anna"), "list_bookings") == []
    assert act(world, thinker("anna"), "list_transfers") == []
    act(world, thinker("anna"), "send_heartbeat", pair_code="new")
    assert {row["type"] for row in data(world, "anna")["events"]} == {"presence.heartbeat"}
    assert len(act(world, thinker("ben"), "list_bookings")) == 2
    with pytest.raises(psycopg.Error, match="thinker_not_found"), world.transaction():
        erase(world, "nobody")


def test_who_uses_an_id_of_an_erased_person_again_begins_a_history(world: psycopg.Connection) -> None:
    end_obligations(world)
    act(world, thinker("anna"), "issue_voucher", voucher_id="v-hers")
    act(world, thinker("anna"), "apply_for_mortgage", application_id="a-hers")
    erase(world, "anna")
    subjects = {("voucher", "v-hers"), ("mortgage_application", "a-hers")}
    logged = "select distinct subject_type, subject_id from public.events where subject_id like '_-hers'"
    assert world.execute(logged).fetchall() == []
    act(world, thinker("ben"), "issue_voucher", voucher_id="v-hers")
    act(world, thinker("ben"), "apply_for_mortgage", application_id="a-hers")
    assert set(world.execute(logged).fetchall()) == subjects
    assert violations(world) == {}


def test_only_an_erasure_opens_the_log(world: psycopg.Connection) -> None:
    end_obligations(world)
    erase(world, "anna")
    # also in the same transaction, and whatever a session has set
    for setting in ("", "on", "1"):
        world.execute("select set_config('portal.erasure', %s, false)", (setting,))
        for statement in ("delete from public.events", "update public.fee_events set payer_id = null"):
            with pytest.raises(psycopg.Error, match="append_only"), world.transaction():
                world.execute(statement.encode())


def test_the_command_erases_rows_and_documents(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    for number, uid in enumerate(("anna", "ben")):
        path = f"contracts/{number}/deed"
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("deed")
        with psycopg.connect(database) as connection:
            call(
                connection, Actor("service_role", uid), "record_contract", contract_id=UUID(int=number), name="deed",
                mime_type=None, byte_size=4, storage_url=path, hash_sha256="0" * 64,
            )  # fmt: skip
    with pytest.raises(PortalError, match="nobody has this uid"):
        run("erase", "thinker", "nobody", "--yes")
    assert ["contracts", "1", "-", "-"] in cells(portal("erase", "thinker", "anna", "--dry-run"))
    with pytest.raises(PortalError, match="Nothing was erased: add --yes"):
        run("erase", "thinker", "anna")
    assert (tmp_path / "contracts/0/deed").exists()
    output = portal("erase", "thinker", "anna", "--yes")
    assert re.search("anna is erased. The accounts name erased-[0-9a-f]{20}.", output)
    assert [path.parent.name for path in tmp_path.rglob("deed")] == ["1"]


def store_documents(connection: psycopg.Connection, folder: Path, number: int) -> None:
    """Stores documents of anna that nobody else needs."""
    for n in range(number):
        path = folder / f"contracts/{n}/deed"
        path.parent.mkdir(parents=True)
        path.write_text("deed")
    connection.execute(
        "insert into public.contracts (name, byte_size, storage_url, hash_sha256, created_by)"
        " select 'deed', 4, format('contracts/%%s/deed', n), repeat('0', 64), private.ensure_thinker('anna')"
        " from generate_series(0, %s - 1) n",
        (number,),
    )


def test_others_book_while_documents_are_deleted_from_the_store(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    delete = Storage.delete
    with connections(database, 1) as [others]:
        call(others, thinker("ben"), "issue_voucher", voucher_id="offer", **DAY)
        call(others, thinker("anna"), "book_voucher", voucher_id="offer", slot_start=DAY["valid_from"])
        with others.transaction(), unchecked(others):
            others.execute(
                "update public.voucher_bookings set slot_start = '2020-01-07 09:00Z', slot_end = '2020-01-07 10:00Z'"
            )
        store_documents(others, tmp_path, 3)

        async def delete_while_others_write(storage: Storage, path: str) -> None:
            others.execute("set lock_timeout = '1s'")
            others.execute("select from public.vouchers for no key update nowait")
            others.execute("select pg_advisory_xact_lock(private.lock_number('import_batch'))")
            await delete(storage, path)

        monkeypatch.setattr(Storage, "delete", delete_while_others_write)
        assert "contracts  3" in re.sub(" +", "  ", portal("erase", "thinker", "anna", "--yes"))
        assert list(tmp_path.rglob("deed")) == []
        assert violations(others) == {}


def test_an_interrupted_erasure_goes_on_where_it_stopped(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with connections(database, 1) as [connection]:
        store_documents(connection, tmp_path, 450)
        connection.execute("update public.contracts set name = %s", (MARK,))
        left = 320
        delete = Storage.delete

        async def delete_some(storage: Storage, path: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise ApiError("storage_away")
            await delete(storage, path)

        with monkeypatch.context() as patch:
            patch.setattr(Storage, "delete", delete_some)
            with pytest.raises(ApiError):
                run("erase", "thinker", "anna", "--yes")
        recorded = {path for [path] in connection.execute("select storage_url from public.contracts")}
        stored = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("deed")}
        # nothing lies in the store of which the database does not know
        assert stored < recorded
        assert len(recorded) == 250
        portal("erase", "thinker", "anna", "--yes")
        assert one(connection, "select count(*) from public.contracts") == 0
        assert list(tmp_path.rglob("deed")) == []
        # nor is the name that an operator gave them left in the log
        assert MARK not in json.dumps(rows(connection), ensure_ascii=False)


def test_no_document_is_deleted_where_the_erasure_is_refused(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with connections(database, 1) as [connection]:
        store_documents(connection, tmp_path, 1)
        call(connection, thinker("ben"), "issue_voucher", voucher_id="offer", **DAY)
        call(connection, thinker("anna"), "book_voucher", voucher_id="offer", slot_start=DAY["valid_from"])
        with pytest.raises(PortalError, match="booking"):
            run("erase", "thinker", "anna", "--yes")
        assert one(connection, "select count(*) from public.contracts") == len(list(tmp_path.rglob("deed"))) == 1


def test_a_document_with_a_name_that_no_disk_has_stops_no_command(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    path = f"contracts/{'x' * 300}/{'y' * 300}"
    with psycopg.connect(database) as connection:
        call(
            connection, Actor("service_role", "anna"), "record_contract", contract_id=UUID(int=1), name="deed",
            mime_type=None, byte_size=4, storage_url=path, hash_sha256="0" * 64,
        )  # fmt: skip
    assert run("export", str(tmp_path / "export")).exit_code == 3
    with pytest.raises(PortalError, match=f"Not in the store of documents: {path}"):
        run("export", "thinker", "anna", "--output", str(tmp_path / "anna"), "--documents", str(tmp_path / "documents"))
    assert "anna is erased" in portal("erase", "thinker", "anna", "--yes")


def test_who_writes_meanwhile_waits_and_nothing_is_left_behind(database: str) -> None:
    anna, ben = thinker("anna"), thinker("ben")
    start = "2030-01-07 09:00Z"
    with connections(database, 4) as [operator, hers, his, watching], ThreadPoolExecutor() as threads:
        call(operator, anna, "issue_voucher", voucher_id="offer", valid_from=start, valid_until="2030-01-07 18:00Z")
        call(operator, anna, "log_transfer", **AMOUNTS)
        with operator.transaction():
            pseudonym = erase(operator, "anna")["pseudonym"]
            waiting = [
                threads.submit(outcome, his, ben, "book_voucher", voucher_id="offer", slot_start=start),
                threads.submit(outcome, hers, anna, "log_transfer", **AMOUNTS),
            ]
            wait_until(lambda: one(watching, "select count(*) from pg_locks where not granted") == 2)
        # what the first has taken away is not there (23503 is `busy` for clients), and the thinker begins anew
        assert [result.result(timeout=30) for result in waiting] == ["PT404", "23503"]
        assert outcome(hers, anna, "log_transfer", **AMOUNTS) is None
        names = one(operator, "select array_agg(private.uid_of(thinker_id) order by created_at) from public.transfers")
        assert names == [pseudonym, "anna"]
        assert violations(operator) == {}


def test_an_erasure_holds_nothing_while_it_waits(database: str) -> None:
    anna = thinker("anna")
    with connections(database, 3) as [operator, hers, watching], ThreadPoolExecutor() as threads:
        call(hers, anna, "log_transfer", **AMOUNTS)
        with hers.transaction():
            # the row of the thinker before that of its limits, as some functions do
            hers.execute("insert into public.rooms (id, owner_id) values ('desk', private.thinker_id('anna'))")
            erasing = threads.submit(erase, operator, "anna")
            wait_for_row(
                watching,
                "select from pg_stat_activity where query like 'select private.erase_thinker%'"
                " and state = 'active' and wait_event in ('PgSleep', 'transactionid', 'tuple')",
            )
            assert outcome(hers, anna, "record_telemetry", events=[{"type": "page.view"}]) is None
        assert erasing.result(timeout=30)["rows"]["telemetry_events"] == {"deleted": 1}


def test_strangers_whose_calls_follow_each_other_do_not_prevent_an_erasure(database: str) -> None:
    """One of their calls always holds the row of the thinker, after PostgREST's filters."""
    eve = thinker("eve")
    voucher = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z", "holder_uid": "anna"}
    with connections(database, 4) as [operator, first, second, watching], ThreadPoolExecutor() as threads:
        call(first, eve, "issue_voucher", voucher_id="offer", **voucher, status="cancelled")
        with first.transaction():
            call(first, eve, "issue_voucher", **voucher, status="cancelled")
            erasing = threads.submit(erase, operator, "anna")
            wait_for_row(
                watching,
                "select from pg_stat_activity where query like 'select private.erase_thinker%'"
                " and wait_event = 'advisory'",
            )
            following = threads.submit(outcome, second, eve, "issue_voucher", **voucher, status="cancelled")
            wait_until(lambda: one(watching, "select count(*) from pg_locks where not granted") == 2)
        pseudonym = erasing.result(timeout=30)["pseudonym"]
        # refused if it began before the end of the erasure
        assert following.result(timeout=30) in (None, "23503")
        assert one(operator, "select private.uid_of(holder_id) from public.vouchers where id = 'offer'") == pseudonym
        # the session of the erasure holds up nobody any more
        assert one(watching, "select count(*) from pg_locks where locktype = 'advisory'") == 0


@pytest.mark.parametrize(
    "row",
    [
        "public.events where subject_id = 'offer'",
        "public.telemetry_events",
        "private.idempotency_keys",
        "public.transfers",
    ],
)
def test_an_erasure_locks_no_vouchers_while_it_reads_the_log_and_empties_her_own_rows(database: str, row: str) -> None:
    anna, ben = thinker("anna"), thinker("ben")
    start = "2030-01-07 09:00Z"
    with connections(database, 4) as [operator, his, holding, watching], ThreadPoolExecutor() as threads:
        call(operator, anna, "issue_voucher", voucher_id="offer", valid_from=start, valid_until="2030-01-07 18:00Z")
        call(operator, anna, "record_telemetry", events=[{"type": "page.view"}])
        call(operator, anna, "log_transfer", **AMOUNTS, idempotency_key="k")
        with holding.transaction():
            holding.execute(f"select from {row} for update".encode())
            erasing = threads.submit(erase, operator, "anna")
            wait_for_row(
                watching,
                "select from pg_stat_activity where query like 'select private.erase_thinker%'"
                " and wait_event_type = 'Lock'",
            )
            assert outcome(his, ben, "book_voucher", voucher_id="offer", slot_start=start) is None
        # the booking came before the locks
        with pytest.raises(psycopg.Error, match="thinker_has_obligations"):
            erasing.result(timeout=30)


def test_a_transfer_is_emptied_once_and_with_what_an_operator_wrote_meanwhile(database: str) -> None:
    with connections(database, 3) as [operator, others, watching], ThreadPoolExecutor() as threads:
        call(operator, thinker("anna"), "log_transfer", **AMOUNTS)

        def updates() -> int:
            with operator.transaction():
                before = one(operator, UPDATES)
                erase(operator, "anna")
                number: int = one(operator, UPDATES) - before
                return number

        with others.transaction():
            others.execute("update public.transfers set label = %s", (MARK,))
            erasing = threads.submit(updates)
            wait_for_row(watching, "select from pg_locks where not granted and locktype = 'transactionid'")
        assert erasing.result(timeout=30) == 1
        assert MARK not in json.dumps(rows(operator), ensure_ascii=False)


UPDATES: LiteralString = "select n_tup_upd from pg_stat_xact_user_tables where relname = 'transfers'"


def test_an_erasure_locks_no_voucher_of_others_for_bookings_that_are_cancelled(database: str) -> None:
    anna, ben = thinker("anna"), thinker("ben")
    start = "2030-01-07 09:00Z"
    with connections(database, 2) as [operator, others]:
        call(operator, ben, "issue_voucher", voucher_id="offer", valid_from=start, valid_until="2030-01-07 18:00Z")
        call(operator, anna, "book_voucher", voucher_id="offer", slot_start=start)
        call(operator, anna, "cancel_booking", voucher_id="offer", reason="ill")
        with operator.transaction():
            pseudonym = erase(operator, "anna")["pseudonym"]
            others.execute("select from public.vouchers where id = 'offer' for no key update nowait")
            assert outcome(others, thinker("clara"), "book_voucher", voucher_id="offer", slot_start=start) is None
        bookings = "select array_agg(private.uid_of(holder_id) order by created_at) from public.voucher_bookings"
        assert one(operator, bookings) == [pseudonym, "clara"]
        assert violations(operator) == {}


LOGGED: LiteralString = """
    insert into public.events (type, created_at)
    select 'thing.done', now() - interval '1 minute' - n * interval '0.3 seconds' from generate_series(1, 10000) n
"""


def test_an_erasure_does_not_read_the_last_hour_again_behind_its_locks(database: str) -> None:
    anna = thinker("anna")
    with connections(database, 3) as [operator, others, watching], ThreadPoolExecutor() as threads:
        call(
            operator,
            anna,
            "issue_voucher",
            voucher_id="offer",
            valid_from="2030-01-07 09:00Z",
            valid_until="2030-01-07 18:00Z",
        )
        operator.execute(LOGGED)
        operator.execute("vacuum analyze public.events")
        with operator.transaction(force_rollback=True):
            operator.execute("select set_config('portal.erasure', pg_current_xact_id()::text, true)")
            once = log_reads(operator, "select private.erase_from_log('anna', 'erased-x', '-infinity')")
        with others.transaction():
            # a session that began before it writes of her, and keeps it from its locks
            others.execute("insert into public.events (type, meta) values ('late', %s)", (Jsonb({"payer": "anna"}),))
            others.execute("select from public.vouchers where id = 'offer' for update")
            erasing = threads.submit(log_reads, operator, "select private.erase_thinker('anna')")
            wait_for_row(
                watching,
                "select from pg_stat_activity"
                " where query like 'select private.erase_thinker%' and wait_event = 'PgSleep'",
            )
        reads = erasing.result(timeout=30)
        # what is new is looked for twice, each time in one statement instead of three or more
        assert once >= 3 * 10_000
        assert reads < 2 * once
        assert one(operator, "select meta ->> 'payer' from public.events where type = 'late'").startswith("erased-")


def log_reads(connection: psycopg.Connection, statement: LiteralString) -> int:
    """Executes a statement, and returns how many rows of the log it read."""
    reads: LiteralString = (
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer from pg_stat_xact_user_tables"
        " where relname ~ '^events_'"
    )
    with connection.transaction():
        # what earlier transactions read may still be counted
        before: int = one(connection, reads)
        connection.execute(statement)
        number: int = one(connection, reads) - before
        return number


def outcome(connection: psycopg.Connection, actor: Actor, function: str, **params: object) -> str | None:
    """The state of the error with which a function ends, if any."""
    try:
        call(connection, actor, function, **params)
    except psycopg.Error as error:
        return error.sqlstate
    return None
