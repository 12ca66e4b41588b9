"""Which thinkers a browser session may act as (sql/23_claims)."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import psycopg
import pytest

from api.actor import SERVER, Actor
from api.gateway.session_calls import _guest
from tests.support.acting import act, act_or_reason, call, call_or_reason, connections, one, thinker
from tests.support.parallel import at_once
from tests.support.waiting import wait_until

ONE, OTHER = uuid4(), uuid4()
HEX = "thinker-0123456789ab"
DONE = ""  # what a function without a result returns


@pytest.fixture
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """A transaction as the operator; rolled back."""
    with psycopg.connect(shared_database) as connection, connection.transaction(force_rollback=True):
        yield connection


def claim(connection: psycopg.Connection, session: object, uid: str, **more: object) -> object:
    return act_or_reason(connection, SERVER, "claim_thinker", session_id=session, uid=uid, **more)


def prove(connection: psycopg.Connection, session: object, uid: str, **more: object) -> object:
    return act_or_reason(connection, SERVER, "prove_thinker", session_id=session, uid=uid, **more)


def uids(connection: psycopg.Connection, session: object) -> list[str]:
    return [thinker["uid"] for thinker in act(connection, SERVER, "session_thinkers", session_id=session)]


def events(connection: psycopg.Connection, uid: str) -> list[str]:
    rows = connection.execute(
        "select type from public.events where subject_id = %s and type like 'thinker.%%' order by type", (uid,)
    )
    return [kind for (kind,) in rows]


def test_a_uid_belongs_to_the_session_that_uses_it_first(connection: psycopg.Connection) -> None:
    assert claim(connection, ONE, "mia") == DONE
    assert claim(connection, ONE, "mia") == DONE
    assert claim(connection, OTHER, "mia") == "not_yourself"
    assert claim(connection, OTHER, "mia", known=True) == "not_yourself"
    assert uids(connection, ONE) == ["mia"]
    assert uids(connection, OTHER) == []
    assert events(connection, "mia") == ["thinker.claimed"]


def test_a_uid_that_another_thinker_only_named_waits_for_its_session(connection: psycopg.Connection) -> None:
    act(connection, thinker("anna"), "issue_voucher", holder_uid="ben")
    assert claim(connection, ONE, "ben") == DONE
    assert claim(connection, OTHER, "ben") == "not_yourself"


def test_a_thinker_that_has_acted_elsewhere_is_known(connection: psycopg.Connection) -> None:
    act(connection, thinker("anna"), "issue_voucher", holder_uid="ben")
    act(connection, thinker("ben"), "issue_voucher")
    for uid in ("anna", "ben"):
        assert claim(connection, ONE, uid) == "not_yourself"
        assert claim(connection, ONE, uid, known=True) == DONE
        assert claim(connection, OTHER, uid, known=True) == "not_yourself"


@pytest.mark.parametrize(
    "uid",
    [
        HEX,
        HEX.upper(),
        f"{HEX}0",
        HEX.replace("0", "O"),
        f"{HEX}\n",
        f"{HEX}\u200b",
        "mia ",
        "\u043cia",
        "x" * 65,
        "11111111-1111-4111-8111-111111111111",
        "11111111-1111-4111-8111-11111111111A",
        "ada",
        "togethersystems",
        "erased-0123456789abcdef0123",
    ],
)
def test_who_is_no_page_is_never_claimed(connection: psycopg.Connection, uid: str) -> None:
    connection.execute(
        "insert into public.thinkers (id, public_id, roles) values (private.thinker_id('ada'), 'ada', '{admin}')"
    )
    assert claim(connection, ONE, uid) == "not_yourself"
    assert claim(connection, ONE, uid, known=True) == "not_yourself"


def test_a_beneficiary_of_before_is_never_claimed(connection: psycopg.Connection) -> None:
    for uid in ("ada", "ben"):
        connection.execute(
            "insert into public.thinkers (id, public_id) values (private.thinker_id(%s), %s)", (uid, uid)
        )
        connection.execute("update public.fees set beneficiary_id = private.thinker_id(%s)", (uid,))
    assert [claim(connection, ONE, uid, known=True) for uid in ("ada", "ben")] == ["not_yourself"] * 2


def test_the_thinker_of_a_token_belongs_to_each_session_that_proves_it(connection: psycopg.Connection) -> None:
    for session in (ONE, OTHER, ONE):
        assert prove(connection, session, HEX) == DONE
        assert claim(connection, session, HEX) == DONE
        listed = act(connection, SERVER, "session_thinkers", session_id=session)
        assert listed == [{"uid": HEX, "is_proven": True, "has_answer": False}]


@pytest.mark.parametrize("uid", ["", "x" * 256])
def test_a_uid_has_1_to_255_characters(connection: psycopg.Connection, uid: str) -> None:
    assert claim(connection, ONE, uid) == "uid_invalid"


def test_a_session_claims_a_few_uids(connection: psycopg.Connection) -> None:
    connection.execute("update private.settings set thinkers_a_session = 2")
    assert [claim(connection, ONE, uid) for uid in ("a", "b", "c")] == [DONE, DONE, "too_many_claims"]
    assert claim(connection, ONE, "a") == DONE
    # tokens can be proved again: the oldest goes
    proven = [f"thinker-{n:012}" for n in range(3)]
    assert [prove(connection, ONE, uid) for uid in proven] == [DONE, DONE, DONE]
    # a uid of its own comes before those of tokens
    connection.execute("update private.settings set thinkers_a_session = 3")
    assert claim(connection, ONE, "c") == DONE
    assert uids(connection, ONE) == ["a", "b", "c", *proven[1:]]


def test_the_thinkers_of_a_session_share_their_limits(connection: psycopg.Connection) -> None:
    connection.execute("update private.settings set bookings_held = 2, vouchers_a_day = 2")
    for uid in ("a", "b"):
        claim(connection, ONE, uid)
    claim(connection, OTHER, "c")
    # a link with a token adds a thinker to both, which has limits of its own
    for session in (ONE, OTHER):
        prove(connection, session, HEX)
    for n in range(2):
        act(connection, thinker(HEX), "issue_voucher", voucher_id=f"x{n}")
    window = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z"}
    issued = [
        act_or_reason(connection, thinker(uid), "issue_voucher", voucher_id=f"{uid}{n}", **window)
        for n in range(2)
        for uid in ("a", "b", "c")
    ]
    assert [answer == "daily_limit_reached" for answer in issued] == [False, False, False, True, True, False]
    booked = [
        act_or_reason(connection, thinker(uid), "book_voucher", voucher_id="c0", slot_start=f"2030-01-07 {hour}:00Z")
        for uid, hour in (("a", 10), ("b", 11), ("a", 12), ("b", 13), ("c", 14))
    ]
    assert [answer == "too_many_bookings" for answer in booked] == [False, False, True, True, False]


def test_an_address_claims_a_few_uids_a_minute(connection: psycopg.Connection) -> None:
    connection.execute("update private.settings set claims_a_minute = 2")
    claimed = [claim(connection, uuid4(), uid, client="192.0.2.1") for uid in ("a", "b", "c")]
    assert claimed == [DONE, DONE, "too_many_claims"]
    assert claim(connection, ONE, "c", client="192.0.2.2") == DONE


def test_an_address_replaces_a_few_tokens_a_minute(connection: psycopg.Connection) -> None:
    connection.execute("update private.settings set claims_a_minute = 2, thinkers_a_session = 1")
    proven = [prove(connection, ONE, f"thinker-{n:012}", client="192.0.2.1") for n in range(4)]
    assert proven == [DONE, DONE, DONE, "too_many_claims"]
    assert prove(connection, OTHER, HEX, client="192.0.2.1") == DONE


@pytest.mark.parametrize("uid", ["mia", HEX])
def test_a_session_acts_as_its_thinkers_until_they_are_released(connection: psycopg.Connection, uid: str) -> None:
    claim(connection, ONE, "mia")
    prove(connection, ONE, HEX)
    mine, others = Actor("authenticated", uid, session_id=ONE), Actor("authenticated", uid, session_id=OTHER)
    # also of empty tables, whose policies nothing asks
    for function in ("list_vouchers", "list_bookings", "list_contracts", "list_transfers"):
        assert act(connection, mine, function) == []
        assert act_or_reason(connection, others, function) == "session_ended"
    connection.execute("select private.release_thinker(%s)", (uid,))
    for function in ("list_vouchers", "issue_voucher"):
        assert act_or_reason(connection, mine, function) == "session_ended"


def test_an_ended_session_acts_as_nobody(connection: psycopg.Connection) -> None:
    claim(connection, ONE, "mia")
    act(connection, SERVER, "end_session", session_id=ONE)
    ended = Actor("authenticated", "mia", session_id=ONE)
    assert act_or_reason(connection, ended, "issue_voucher") == "session_ended"
    # before its JSON is looked at, which takes longer: who names another thinker has that thinker's place meanwhile
    deep = json.loads("[" * 100 + "]" * 100)
    assert act_or_reason(connection, ended, "record_telemetry", events=deep) == "session_ended"
    assert act_or_reason(connection, thinker("tom"), "record_telemetry", events=deep) == "json_unreasonable"


def test_a_released_thinker_is_free_and_its_session_has_ended(connection: psycopg.Connection) -> None:
    for uid in ("mia", "tom"):
        claim(connection, ONE, uid)
    prove(connection, ONE, HEX)
    prove(connection, OTHER, HEX)
    assert one(connection, "select private.release_thinker('mia')") == ["mia", HEX, "tom"]
    # the cookie may have been copied
    assert claim(connection, ONE, "mia") == "session_ended"
    assert act_or_reason(connection, SERVER, "session_thinkers", session_id=ONE) == "session_ended"
    # a request of the ended session that was on its way
    act(connection, thinker("mia"), "issue_voucher")
    assert claim(connection, uuid4(), "mia") == DONE
    assert claim(connection, OTHER, HEX) == DONE
    assert events(connection, "mia") == ["thinker.claimed", "thinker.claimed", "thinker.released"]
    with pytest.raises(psycopg.Error, match="thinker_not_claimed"):
        connection.execute("select private.release_thinker('nobody')")


def test_a_released_token_ends_no_session_that_it_was_added_to(connection: psycopg.Connection) -> None:
    claim(connection, ONE, "mia")
    for session in (ONE, OTHER):
        prove(connection, session, HEX)
    assert one(connection, "select private.release_thinker(%s)", HEX) == [HEX]
    assert uids(connection, ONE) == ["mia"]
    assert claim(connection, OTHER, "mia") == "not_yourself"
    assert claim(connection, ONE, HEX) == "not_yourself"
    assert prove(connection, ONE, HEX) == DONE


def test_a_released_shared_token_ends_its_session(connection: psycopg.Connection) -> None:
    claim(connection, ONE, "mia")
    prove(connection, ONE, HEX, is_own=True)
    assert one(connection, "select private.release_thinker(%s)", HEX) == ["mia", HEX]
    # who copied its cookie has the shared token, too
    assert prove(connection, ONE, HEX, is_own=True) == "session_ended"


def test_the_guest_of_a_session_is_nobody_elses(connection: psycopg.Connection) -> None:
    guest = _guest(ONE)
    # not even before the session has claimed it, nor where somebody has named it
    assert claim(connection, OTHER, guest) == "not_yourself"
    act(connection, thinker("sam"), "issue_voucher", holder_uid=guest)
    assert claim(connection, OTHER, guest) == "not_yourself"
    assert claim(connection, ONE, guest) == DONE
    assert claim(connection, ONE, guest) == DONE
    connection.execute("select private.release_thinker(%s)", (guest,))
    assert claim(connection, OTHER, guest, known=True) == "not_yourself"
    assert claim(connection, OTHER, guest.upper()) == "not_yourself"


@pytest.mark.parametrize(("function", "uid"), [("claim_thinker", "tom"), ("prove_thinker", HEX)])
def test_no_claim_comes_behind_the_end_of_its_session(database: str, function: str, uid: str) -> None:
    with connections(database, 3) as (claiming, releasing, watching), ThreadPoolExecutor() as thread:
        call(claiming, SERVER, "claim_thinker", session_id=ONE, uid="mia")
        with releasing.transaction():
            releasing.execute("select private.release_thinker('mia')")
            claimed = thread.submit(call_or_reason, claiming, SERVER, function, session_id=ONE, uid=uid)
            waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
            wait_until(lambda: claimed.done() or one(watching, waits, claiming.info.backend_pid))
        assert claimed.result() == "session_ended"


def test_of_many_sessions_one_wins(database: str) -> None:
    with connections(database, 20) as open_connections:
        sessions = [uuid4() for _ in open_connections]
        claims = [
            partial(call_or_reason, connection, SERVER, "claim_thinker", session_id=session, uid="mia")
            for connection, session in zip(open_connections, sessions, strict=True)
        ]
        results = at_once(claims)
        assert sorted(results) == [DONE, *["not_yourself"] * 19]
        assert one(open_connections[0], "select session_id from private.claims") == sessions[results.index(DONE)]


def test_a_claim_that_waits_for_its_uid_holds_up_no_other_claim_of_its_address(database: str) -> None:
    with connections(database, 4) as (naming, waiting, claiming, watching), ThreadPoolExecutor() as thread:
        claims = partial(call_or_reason, actor=SERVER, function="claim_thinker", client="192.0.2.1")
        claiming.execute("set lock_timeout = '5s'")
        with naming.transaction():
            # somebody's call that has not ended
            act(naming, thinker("eve"), "issue_voucher", holder_uid="mia")
            claimed = thread.submit(claims, waiting, session_id=ONE, uid="mia")
            wait_until(
                lambda: (
                    one(
                        watching,
                        "select wait_event_type from pg_stat_activity where pid = %s",
                        waiting.info.backend_pid,
                    )
                    == "Lock"
                )
            )
            assert claims(claiming, session_id=OTHER, uid="tom") == DONE
        assert claimed.result() == DONE
