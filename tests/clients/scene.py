"""The data of the client tests: offers, bookings and mortgages of a few thinkers, at fixed times in 2030."""

import psycopg

from tests.support.acting import call, thinker

ANNA, BEN, CLARA = thinker("anna"), thinker("ben"), thinker("clara")
BANK, COOP = thinker("bank"), thinker("coop")


def set_up(database_url: str) -> None:
    """Anna offers consulting and a viewing, Clara has booked Ben's garden, and two lenders want to lend to him."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for uid in ("bank", "coop"):
            connection.execute(
                "insert into public.thinkers (id, public_id, roles) values (private.thinker_id(%s), %s, '{lender}')",
                (uid, uid),
            )
        call(
            connection,
            ANNA,
            "issue_voucher",
            voucher_id="v-consulting",
            service_type="consulting.session",
            title="Beratung",
            valid_from="2030-01-07T09:00:00Z",
            valid_until="2030-01-07T12:00:00Z",
            price_amount=12000,
            terms={"template": "consulting"},
        )
        call(
            connection,
            ANNA,
            "issue_voucher",
            voucher_id="v-viewing",
            service_type="realestate.viewing",
            title="Besichtigung Gartenhaus",
            duration_minutes=30,
            valid_from="2030-01-08T14:00:00Z",
            valid_until="2030-01-08T16:00:00Z",
            terms={"template": "viewing"},
        )
        call(
            connection,
            BEN,
            "issue_voucher",
            voucher_id="v-garden",
            title="Gartenarbeit",
            duration_minutes=120,
            valid_from="2030-01-09T08:00:00Z",
            valid_until="2030-01-09T16:00:00Z",
            price_amount=9000,
        )
        call(connection, CLARA, "book_voucher", voucher_id="v-garden", slot_start="2030-01-09T10:00:00Z")
        call(
            connection,
            BEN,
            "apply_for_mortgage",
            application_id="app-house",
            property_id="house-123",
            desired_loan=250_000_00,
            duration_years=20,
            rate_type="fixed",
        )
        for lender, rate, payment in ((BANK, "0.0315", 1_410_12), (COOP, "0.0298", 1_387_50)):
            call(
                connection,
                lender,
                "offer_mortgage",
                application_id="app-house",
                offer_id=f"offer-{lender.uid}",
                interest_rate=rate,
                monthly_payment=payment,
            )
