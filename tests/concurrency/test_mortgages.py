"""Concurrent acceptances: one application becomes at most one contract."""

from collections import Counter
from functools import partial

import psycopg
import pytest

from tests.support.acting import call, call_or_reason, connections, one, thinker
from tests.support.parallel import ask_at_once, at_once
from tests.support.serving import Answer, Connection

BORROWER, LENDER = thinker("borrower"), thinker("lender", "lender")


@pytest.fixture
def offers(database: str) -> list[str]:
    """The ids of two offers of one application."""
    with psycopg.connect(database, autocommit=True) as connection:
        return offers_of(connection, "application")


def offers_of(connection: psycopg.Connection, application: str) -> list[str]:
    call(connection, BORROWER, "apply_for_mortgage", application_id=application)
    ids = [f"{application}-first", f"{application}-second"]
    for offer in ids:
        call(connection, LENDER, "offer_mortgage", application_id=application, offer_id=offer)
    return ids


def test_one_of_twenty_acceptances_of_an_offer_succeeds_in_sql(database: str, offers: list[str]) -> None:
    with connections(database, 20) as opened:
        outcomes = at_once(
            [partial(call_or_reason, c, BORROWER, "accept_mortgage_offer", offer_id=offers[0]) for c in opened]
        )
        assert Counter(o for o in outcomes if isinstance(o, str)) == {"offer_not_open": 19}
        assert one(opened[0], "select count(*) from public.mortgage_contracts") == 1


def test_one_of_twenty_acceptances_of_an_offer_succeeds_over_http(
    portal: str, database: str, offers: list[str]
) -> None:
    def accept(connection: Connection) -> Answer:
        return connection.post("/api/hypotheken/angebot/accept", {"voucherId": offers[0]}, x_mot_user="borrower")

    answers = ask_at_once(portal, *[accept] * 20)

    assert Counter(answer.status for answer in answers) == {200: 1, 400: 19}
    sentence = "Offer hat Status accepted und kann nicht akzeptiert werden"
    assert {answer.body["error"] for answer in answers if answer.status == 400} == {sentence}
    with psycopg.connect(database) as connection:
        assert one(connection, "select count(*) from public.mortgage_contracts") == 1


def test_one_of_two_offers_accepted_at_once_becomes_a_contract_and_the_other_is_withdrawn(database: str) -> None:
    with connections(database, 2) as opened:
        for i in range(20):
            ids = offers_of(opened[0], f"application-{i}")
            outcomes = at_once(
                [
                    partial(call_or_reason, connection, BORROWER, "accept_mortgage_offer", offer_id=offer)
                    for connection, offer in zip(opened, ids, strict=True)
                ]
            )
            assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["offer_not_open"]
            statuses = opened[0].execute(
                "select o.status, c.id is not null from public.mortgage_offers o"
                " left join public.mortgage_contracts c on c.offer_id = o.id"
                " where o.application_id = %s order by o.status",
                (f"application-{i}",),
            )
            assert statuses.fetchall() == [("accepted", True), ("withdrawn", False)]


def test_no_offer_stays_open_if_it_is_made_during_an_acceptance(database: str) -> None:
    with connections(database, 2) as (first, second):
        for i in range(20):
            [offer, _] = offers_of(first, f"application-{i}")
            accepted, made = at_once(
                [
                    partial(call_or_reason, first, BORROWER, "accept_mortgage_offer", offer_id=offer),
                    partial(call_or_reason, second, LENDER, "offer_mortgage", application_id=f"application-{i}"),
                ]
            )
            assert isinstance(accepted, dict)
            assert isinstance(made, dict) or made == "application_closed"
        assert one(first, "select count(*) from public.mortgage_offers where status = 'open'") == 0
