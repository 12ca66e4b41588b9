"""Who sees the documents of a voucher that several thinkers hold, at the same time or one after the other."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from api.actor import Actor
from tests.support.acting import call, call_or_reason, thinker

ANNA, BEN, CLARA = thinker("anna"), thinker("ben"), thinker("clara")


class Voucher:
    """Anna's voucher and the actions on it, each in a transaction of its own and so at a time of its own."""

    def __init__(self, connection: psycopg.Connection, **more: str) -> None:
        self._connection = connection
        window = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z"}
        call(connection, ANNA, "issue_voucher", voucher_id="v", **window, **more)

    def book(self, holder: Actor, hour: int) -> None:
        call(self._connection, holder, "book_voucher", voucher_id="v", slot_start=f"2030-01-07 {hour:02}:00Z")

    def cancel(self, holder: Actor) -> None:
        call(self._connection, holder, "cancel_booking", voucher_id="v")

    def add_document(self, creator: Actor, name: str) -> object:
        """Adds a document as the server does for a thinker. Returns True, or the error code."""
        checked = call_or_reason(self._connection, creator, "check_contract_link", voucher_id="v")
        if checked is True:
            call(
                self._connection,
                Actor("service_role", creator.uid),
                "record_contract",
                contract_id=uuid4(),
                name=name,
                mime_type=None,
                byte_size=1,
                storage_url=f"contracts/{uuid4()}/x",
                hash_sha256="0" * 64,
                voucher_id="v",
            )
        return checked

    def seen_by(self, actor: Actor) -> set[str]:
        of_voucher = call(self._connection, actor, "list_contracts", voucher_id="v")
        assert call(self._connection, actor, "list_contracts") == of_voucher
        everything = call(self._connection, Actor("service_role"), "list_contracts")
        found = [call_or_reason(self._connection, actor, "get_contract", contract_id=each["id"]) for each in everything]
        assert [each for each in found if each != "contract_not_found"] == of_voucher
        return {contract["name"] for contract in of_voucher}


@pytest.fixture
def voucher(database: str) -> Iterator[Voucher]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield Voucher(connection)


def test_next_holder_sees_nothing_of_the_previous_holder(voucher: Voucher) -> None:
    voucher.add_document(ANNA, "house rules")
    voucher.book(BEN, 9)
    voucher.add_document(ANNA, "report on ben")
    voucher.add_document(BEN, "letter from ben")
    voucher.cancel(BEN)
    voucher.add_document(ANNA, "bill for ben")
    voucher.book(CLARA, 10)
    voucher.add_document(ANNA, "report on clara")

    assert voucher.seen_by(CLARA) == {"house rules", "report on clara"}
    assert voucher.seen_by(BEN) == {"letter from ben"}
    assert voucher.seen_by(ANNA) == {
        "house rules",
        "report on ben",
        "letter from ben",
        "bill for ben",
        "report on clara",
    }


def test_document_for_one_holder_stays_hidden_from_another_holder(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        voucher = Voucher(connection, holder_uid="ben")
        voucher.add_document(ANNA, "report on ben")
        voucher.book(Actor("service_role", "clara"), 10)
        assert (voucher.seen_by(BEN), voucher.seen_by(CLARA)) == ({"report on ben"}, set())


def test_holders_do_not_learn_of_each_other(voucher: Voucher, database: str) -> None:
    voucher.book(BEN, 9)
    voucher.book(CLARA, 10)
    with psycopg.connect(database, autocommit=True) as connection:
        holders = {
            actor.uid: [v["holder_uid"] for v in call(connection, actor, "list_vouchers")]
            for actor in (ANNA, BEN, CLARA, thinker("admin", "admin"))
        }
    assert holders == {"anna": ["clara"], "ben": [None], "clara": ["clara"], "admin": ["clara"]}


def test_two_holders_at_once_see_nothing_of_each_other(voucher: Voucher) -> None:
    voucher.add_document(ANNA, "house rules")
    voucher.book(BEN, 9)
    voucher.add_document(ANNA, "report on ben")
    voucher.book(CLARA, 10)
    voucher.add_document(ANNA, "bill")
    voucher.add_document(BEN, "letter from ben")
    voucher.add_document(CLARA, "letter from clara")

    assert voucher.seen_by(BEN) == {"house rules", "report on ben", "letter from ben"}
    assert voucher.seen_by(CLARA) == {"house rules", "letter from clara"}


def test_document_of_a_thinker_without_booking_is_refused(voucher: Voucher) -> None:
    assert voucher.add_document(BEN, "x") == "voucher_not_found"
    voucher.book(BEN, 9)
    assert voucher.add_document(BEN, "x") is True
    voucher.cancel(BEN)
    assert voucher.add_document(BEN, "x") == "voucher_not_found"
