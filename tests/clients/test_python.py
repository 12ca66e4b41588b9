"""supabase-py and postgrest-py, blocking and asynchronous, against the Data API."""

import pytest
from postgrest import APIError, CountMethod

from api.actor import thinker_id
from tests.clients.conftest import Ask, Query


def test_anon_sees_open_offers_only(ask: Ask) -> None:
    response = ask(lambda c: c.from_("vouchers").select("id, price_amount, valid_from").order("id"))
    assert response.data == [
        {"id": "v-consulting", "price_amount": 12000, "valid_from": "2030-01-07T09:00:00+00:00"},
        {"id": "v-viewing", "price_amount": None, "valid_from": "2030-01-08T14:00:00+00:00"},
    ]


@pytest.mark.parametrize("table", ["voucher_bookings", "thinkers", "mortgage_applications"])
def test_anon_sees_no_thinker(ask: Ask, table: str) -> None:
    with pytest.raises(APIError) as refused:
        ask(lambda c: c.from_(table).select("*"))
    assert (refused.value.code, refused.value.message) == ("42501", f"permission denied for table {table}")


def test_filters_order_and_limit(ask: Ask) -> None:
    def ids(query: Query) -> list[str]:
        return [row["id"] for row in ask(query, "ben").data]

    assert ids(lambda c: c.from_("vouchers").select("id").order("valid_from", desc=True)) == [
        "v-garden",
        "v-viewing",
        "v-consulting",
    ]
    assert ids(lambda c: c.from_("vouchers").select("id").eq("status", "booked")) == ["v-garden"]
    assert ids(
        lambda c: c.from_("vouchers").select("id").gte("valid_from", "2030-01-08T14:00:00Z").order("id").limit(1)
    ) == ["v-garden"]
    assert ids(lambda c: c.from_("vouchers").select("id").in_("id", ["v-viewing", "v-nosuch"])) == ["v-viewing"]
    assert ids(lambda c: c.from_("vouchers").select("id").ilike("title", "%garten%").order("id")) == [
        "v-garden",
        "v-viewing",
    ]
    assert ids(lambda c: c.from_("vouchers").select("id").is_("price_amount", "null")) == ["v-viewing"]
    assert ids(lambda c: c.from_("vouchers").select("id").eq("terms->>template", "consulting")) == ["v-consulting"]
    assert ids(lambda c: c.from_("vouchers").select("id").contains("terms", {"template": "viewing"})) == ["v-viewing"]


def test_count(ask: Ask) -> None:
    response = ask(lambda c: c.from_("vouchers").select("id", count=CountMethod.exact).order("id").limit(1), "ben")
    assert (response.count, response.data) == (3, [{"id": "v-consulting"}])
    response = ask(lambda c: c.from_("vouchers").select("id", count=CountMethod.exact, head=True), "clara")
    assert (response.count, response.data) == (3, [])


def test_thinkers_see_their_own_bookings_only(ask: Ask) -> None:
    def bookings(uid: str) -> list[str]:
        return [row["slot_start"] for row in ask(lambda c: c.from_("voucher_bookings").select("slot_start"), uid).data]

    assert bookings("ben") == bookings("clara") == ["2030-01-09T10:00:00+00:00"]
    assert bookings("anna") == []


def test_embedding(ask: Ask) -> None:
    """A foreign key in both directions, one of several named by its column, and through two tables."""
    response = ask(
        lambda c: (
            c.from_("vouchers")
            .select("id, voucher_bookings(slot_start, holder:thinkers!holder_id(public_id))")
            .in_("id", ["v-garden", "v-viewing"])
            .order("id")
        ),
        "ben",
    )
    assert response.data == [
        {
            "id": "v-garden",
            "voucher_bookings": [{"slot_start": "2030-01-09T10:00:00+00:00", "holder": {"public_id": "clara"}}],
        },
        {"id": "v-viewing", "voucher_bookings": []},
    ]
    response = ask(
        lambda c: (
            c.from_("mortgage_offers")
            .select("id, interest_rate, mortgage_applications(desired_loan, properties(id)), thinkers!inner(public_id)")
            .eq("thinkers.public_id", "coop")
        ),
        "ben",
    )
    assert response.data == [
        {
            "id": "offer-coop",
            "interest_rate": 0.0298,
            "mortgage_applications": {"desired_loan": 25000000, "properties": {"id": "house-123"}},
            "thinkers": {"public_id": "coop"},
        }
    ]
    # a lender sees the application, and only its own offer
    response = ask(lambda c: c.from_("mortgage_applications").select("id, mortgage_offers(id)"), "bank")
    assert response.data == [{"id": "app-house", "mortgage_offers": [{"id": "offer-bank"}]}]


def test_a_table_cannot_be_written(ask: Ask) -> None:
    voucher = {"id": "v-forged", "issuer_id": str(thinker_id("ben"))}
    for query in (
        lambda c: c.from_("vouchers").insert(voucher),
        lambda c: c.from_("vouchers").upsert(voucher),
        lambda c: c.from_("vouchers").update({"title": "forged"}).eq("id", "v-garden"),
        lambda c: c.from_("vouchers").delete().eq("id", "v-garden"),
    ):
        for uid in ("ben", None):
            with pytest.raises(APIError) as refused:
                ask(query, uid)
            assert (refused.value.code, refused.value.message) == ("42501", "permission denied for table vouchers")


def test_functions_write_as_the_caller(ask: Ask) -> None:
    answer = ask(
        lambda c: c.rpc("book_voucher", {"voucher_id": "v-consulting", "slot_start": "2030-01-07T10:00:00Z"}), "ben"
    ).data
    assert answer["booking"]["holder_uid"] == "ben"
    assert answer["voucher"]["status"] == "booked"
    try:
        # it is no longer open: Ben holds it
        assert ask(lambda c: c.from_("vouchers").select("id").eq("id", "v-consulting")).data == []
        mine = ask(lambda c: c.from_("vouchers").select("id").eq("holder_id", str(thinker_id("ben"))), "ben")
        assert mine.data == [{"id": "v-consulting"}]
        assert len(ask(lambda c: c.rpc("available_slots", {"voucher_id": "v-consulting"}), "clara").data) == 2
    finally:
        cancelled = ask(lambda c: c.rpc("cancel_booking", {"booking_id": answer["booking"]["id"]}), "ben").data
    assert cancelled["voucher"]["status"] == "issued"
    assert ask(lambda c: c.rpc("ping", {})).data is True


def test_numbers_keep_their_digits(ask: Ask) -> None:
    transfer = ask(
        lambda c: c.rpc(
            "log_transfer",
            {
                "direction": "in",
                "crypto_amount": "0.123456789012345678",
                "crypto_symbol": "ETH",
                "fiat_major": "90071992547409.91",
                "fiat_currency": "EUR",
                "meta": {"list": [1, "two", None]},
            },
        ),
        "ben",
    ).data
    [read] = ask(lambda c: c.from_("transfers").select("*").eq("id", transfer["id"]), "ben").data
    assert read["fiat_amount"] == transfer["fiat_amount"] == 9007199254740991
    # as exact as a client reads numbers
    assert read["crypto_amount"] == transfer["crypto_amount"] == 0.123456789012345678
    assert read["meta"] == {"list": [1, "two", None]}


@pytest.mark.parametrize(
    ("function", "params", "uid", "code", "message", "details"),
    [
        ("book_voucher", {"voucher_id": "v-nosuch", "slot_start": None}, "ben", "PT404", "voucher_not_found", None),
        (
            "book_voucher",
            {"voucher_id": "v-garden", "slot_start": "2030-01-09T10:00:00Z"},
            "anna",
            "PT409",
            "slot_taken",
            None,
        ),
        ("accept_mortgage_offer", {"offer_id": "offer-bank"}, "clara", "PT403", "not_the_offers_borrower", None),
        ("offer_mortgage", {"application_id": "app-house"}, "clara", "PT403", "lender_role_required", None),
        ("cancel_booking", {}, "ben", "PT400", "booking_or_voucher_required", None),
        # without a token no function that writes can be called
        (
            "book_voucher",
            {"voucher_id": "v-garden", "slot_start": "2030-01-09T10:00:00Z"},
            None,
            "42501",
            "permission denied for function book_voucher",
            None,
        ),
    ],
)
def test_an_error_keeps_its_code(
    ask: Ask, function: str, params: dict[str, object], uid: str | None, code: str, message: str, details: str | None
) -> None:
    with pytest.raises(APIError) as refused:
        ask(lambda c: c.rpc(function, params), uid)
    assert (refused.value.code, refused.value.message, refused.value.details) == (code, message, details)
