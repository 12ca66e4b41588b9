"""Constraints on rows: each invalid row is refused by its constraint, for a superuser too."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.databases import Server

REFUSED: list[tuple[str, str, str]] = [
    # table, column = value, the rule
    ("thinkers", "id = gen_random_uuid()", "id_follows_from_public_id"),
    ("thinkers", "roles = '{king}'", "roles_are_known"),
    ("thinkers", "meta = '5'", "meta_is_an_object"),
    ("presence_sessions", "status = 'busy'", "presence_status_is_valid"),
    ("presence_sessions", "last_seen_at = 'infinity'", "times_are_in_the_calendar"),
    ("presence_sessions", "pair_code = null, room_id = 'r'", "a_room_belongs_to_a_pair_code"),
    ("rooms", "type = 'kitchen'", "room_type_is_valid"),
    ("vouchers", "status = 'Booked'", "voucher_status_is_valid"),
    ("vouchers", "valid_until = valid_from - interval '1 second'", "valid_until_is_not_before_valid_from"),
    ("vouchers", "valid_from = '0044-03-15 BC'", "times_are_in_the_calendar"),
    ("vouchers", "duration_minutes = 0", "duration_is_at_most_a_year"),
    ("vouchers", "price_amount = -1, price_currency = 'EUR'", "price_is_a_safe_amount"),
    ("vouchers", "price_amount = 5", "price_has_amount_and_currency"),
    ("vouchers", "price_amount = 5, price_currency = 'eur'", "price_currency_is_upper_case"),
    ("vouchers", "price_amount = 5, price_currency = ' '", "price_currency_is_upper_case"),
    ("vouchers", "allowed_slots = '{}'", "allowed_slots_is_an_array"),
    ("voucher_bookings", "status = 'lost'", "booking_status_is_valid"),
    ("voucher_bookings", "slot_end = slot_start", "slot_ends_after_it_starts"),
    ("voucher_bookings", "slot_end = 'infinity'", "times_are_in_the_calendar"),
    ("voucher_bookings", "status = 'cancelled'", "cancelled_booking_has_a_time"),
    ("voucher_bookings", "cancel_reason = 'ill'", "only_a_cancelled_booking_has_a_reason"),
    (
        "voucher_bookings",
        "status = 'cancelled', cancelled_at = created_at - interval '1 day'",
        "cancelled_at_is_not_before_created_at",
    ),
    ("voucher_templates", "default_terms = '7'", "default_terms_are_an_object"),
    ("contracts", "created_at = 'infinity'", "times_are_in_the_calendar"),
    ("contracts", "byte_size = -1", "byte_size_is_not_negative"),
    ("contracts", "hash_sha256 = 'none'", "hash_is_a_sha256_in_hex"),
    ("contracts", "storage_url = 'https://elsewhere/x'", "storage_url_is_a_path_of_contracts"),
    ("contracts", "storage_url = 'contracts/../x'", "storage_url_is_a_path_that_stores_take"),
    ("contract_links", "room_id = null", "link_has_a_voucher_or_a_room"),
    ("contract_links", "role = 'cover'", "link_role_is_valid"),
    ("mortgage_applications", "status = 'closed'", "application_status_is_valid"),
    ("mortgage_applications", "rate_type = 'free'", "rate_type_is_valid"),
    ("mortgage_applications", "max_interest = 'NaN'", "max_interest_is_a_fraction"),
    ("mortgage_applications", "max_interest = 0.04005 - 0.00004", "max_interest_has_at_most_four_decimals"),
    ("mortgage_applications", "desired_loan = 5", "loan_has_amount_and_currency"),
    ("mortgage_applications", "duration_years = 101", "duration_is_1_to_100_years"),
    ("mortgage_offers", "status = 'offered'", "offer_status_is_valid"),
    ("mortgage_offers", "interest_rate = -0.01", "interest_rate_is_a_fraction"),
    ("mortgage_offers", "interest_rate = 0.03125", "interest_rate_has_at_most_four_decimals"),
    ("mortgage_offers", "monthly_payment = -1", "monthly_payment_is_a_safe_amount"),
    (
        "mortgage_contracts",
        "status = 'active', updated_at = now(), borrower_signed_at = now(), lender_signed_at = now(), "
        "notary_signed_at = now()",
        "mortgage_contract_status_is_valid",
    ),
    ("mortgage_contracts", "status = 'signed'", "contract_is_a_draft_until_three_have_signed"),
    ("mortgage_contracts", "status = 'archived'", "contract_is_a_draft_until_three_have_signed"),
    ("mortgage_contracts", "notary_signed_at = now()", "signed_contract_was_updated"),
    ("transfers", "direction = 'sideways'", "direction_is_valid"),
    ("transfers", "status = 'executed'", "transfer_status_is_valid"),
    ("transfers", "crypto_amount = 'NaN'", "crypto_amount_has_at_most_18_digits_before_the_point"),
    ("transfers", "crypto_amount = -1e18", "crypto_amount_has_at_most_18_digits_before_the_point"),
    ("transfers", "fiat_amount = 9007199254740992", "fiat_amount_is_a_safe_amount"),
    ("transfers", "updated_at = created_at - interval '1 second'", "updated_at_is_not_before_created_at"),
    ("events", "subject_id = null", "subject_has_type_and_id"),
    ("fees", "scope = 'air'", "fee_scope_is_valid"),
    ("fees", "percentage = 1.5", "percentage_is_a_fraction"),
    ("fees", "percentage = 'NaN'", "percentage_is_a_fraction"),
    ("fees", "percentage = 0.01375", "percentage_has_at_most_four_decimals"),
    ("fees", "percentage = 0.00004", "percentage_has_at_most_four_decimals"),
    ("fees", "percentage = percentage / 3", "percentage_has_at_most_four_decimals"),
    ("fee_versions", "percentage = 0.01375", "percentage_has_at_most_four_decimals"),
    ("fee_versions", "percentage = -0.01", "percentage_is_a_fraction"),
    ("fee_events", "rate = 0.00004, unrounded = base_cents * 0.00004", "rate_has_at_most_four_decimals"),
    ("fee_events", "rate = 1.01, unrounded = base_cents * 1.01", "rate_is_a_fraction"),
    ("fees", "fixed_amount = 5, currency = null", "fixed_amount_has_a_currency"),
    ("fee_events", "subject_type = 'coffee'", "subject_type_is_chargeable"),
    ("fee_events", "rate = null", "a_charge_is_explained_and_a_correction_names_it"),
    ("fee_events", "reverses = id", "a_charge_is_explained_and_a_correction_names_it"),
    ("fee_events", "amount_cents = -2", "a_charge_is_not_negative_and_a_reversal_not_positive"),
    ("fee_events", "rate = 0.03", "the_unrounded_amount_follows_from_its_parts"),
    ("fee_events", "amount_cents = 1", "the_amount_is_rounded_once"),
    ("fee_events", "bound = 'middle'", "bound_is_valid"),
    ("fees", "currency = null, min_cents = 1", "bounds_have_a_currency"),
    ("fees", "currency = 'EUR', min_cents = 2, max_cents = 1", "minimum_is_at_most_the_maximum"),
    ("fees", "currency = 'EUR', fixed_amount = 2, max_cents = 1", "fixed_amount_is_at_most_the_maximum"),
    ("fees", "currency = 'EUR', max_cents = 9007199254740992", "amounts_are_safe"),
    ("settlements", "status = 'void'", "settlement_status_is_valid"),
    ("settlements", "status = 'voided'", "status_agrees_with_its_times"),
    ("settlements", "void_reason = 'error'", "only_a_voided_settlement_has_a_reason"),
    ("settlements", "period_to = period_from", "period_ends_after_it_begins"),
]

UNREASONABLE = {
    "deep": "[" * 64 + "]" * 64,
    "beyond a double": "1.8e308",
    "far beyond": "1e5000",
    "below a double": "-1e-400",
    "large": '["' + "x" * 65536 + '"]',
    "of many parts": f"[{','.join(['{}'] * 1_001)}]",
    "of many small parts": f"[{','.join(['[[[[]]]]'] * 251)}]",
    "of many values": f"[{','.join(['0'] * 4_002)}]",
    "large when printed": f"[{','.join(['1e308'] * 14_000)}]",
}


@pytest.fixture(scope="module")
def rows(server: Server, migrated: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a database with one valid row in every table; each test is rolled back."""
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(GOOD_ROWS)
        yield connection


@pytest.fixture
def without_triggers(rows: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The same, without the triggers that make tables append-only."""
    rows.execute("set session_replication_role = replica")
    yield rows
    rows.execute("reset session_replication_role")


@pytest.mark.parametrize(("table", "change", "rule"), REFUSED)
def test_an_invalid_row_is_refused_by_its_rule(
    without_triggers: psycopg.Connection, table: str, change: str, rule: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        without_triggers.execute(f"update public.{table} set {change}".encode())
    assert refused.value.diag.constraint_name == rule


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("time_zone = 'CEST'", "time_zone_is_known"),  # known to `at time zone`, but not to a session
        ("time_zone = 'UTC+2'", "time_zone_is_known"),  # two hours to the west for both, against what people mean
        ("time_zone = '+02:00'", "time_zone_is_known"),
        ("time_zone = ''", "time_zone_is_known"),
        ("time_zone = 'Europe/Berlin '", "time_zone_is_known"),
        ("time_zone = 'Europe/Berliner'", "time_zone_is_known"),
        ("time_zone = 'posix/Europe/Berlin'", "time_zone_is_known"),
        ("events_kept = '29 days'", "events_are_kept_for_a_month_to_a_millennium"),
        ("events_kept = '-13 months'", "events_are_kept_for_a_month_to_a_millennium"),
        ("events_kept = '1001 years'", "events_are_kept_for_a_month_to_a_millennium"),
        ("document_bytes = -1", "limits_are_not_negative"),
        ("document_bytes_a_thinker = -1", "limits_are_not_negative"),
        ("upload_bytes_a_day = -1", "limits_are_not_negative"),
        ("only_row = false", "there_is_one_row"),
    ],
)
def test_an_invalid_setting_is_refused_by_its_rule(rows: psycopg.Connection, change: str, rule: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        rows.execute(f"update private.settings set {change}".encode())
    assert refused.value.diag.constraint_name == rule


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "Asia/Kathmandu"])
def test_a_region_is_a_time_zone(rows: psycopg.Connection, zone: str) -> None:
    with rows.transaction(force_rollback=True):
        rows.execute("update private.settings set time_zone = %s", (zone,))
        rows.execute("select set_config('TimeZone', time_zone, true) from private.settings")


@pytest.mark.parametrize("table", ["events", "fee_events", "fee_versions"])
@pytest.mark.parametrize(
    "change", ["update public.{} set id = gen_random_uuid()", "delete from public.{}", "truncate public.{} cascade"]
)
def test_append_only_rows_cannot_be_changed_by_the_owner(rows: psycopg.Connection, table: str, change: str) -> None:
    before = rows.execute(f"select * from public.{table}".encode()).fetchall()
    with pytest.raises(psycopg.Error, match="append_only"):
        rows.execute(change.format(table).encode())
    assert before
    assert rows.execute(f"select * from public.{table}".encode()).fetchall() == before


@pytest.mark.parametrize("table", ["voucher_bookings", "mortgage_contracts", "transfers"])
@pytest.mark.parametrize("change", ["delete from public.{}", "truncate public.{} cascade"])
def test_rows_that_fees_depend_on_cannot_be_deleted_by_the_owner(
    rows: psycopg.Connection, table: str, change: str
) -> None:
    with pytest.raises(psycopg.Error, match="append_only"):
        rows.execute(change.format(table).encode())
    assert rows.execute(f"select count(*) from public.{table}".encode()).fetchall() == [(1,)]


@pytest.mark.parametrize("value", UNREASONABLE.values(), ids=UNREASONABLE)
@pytest.mark.parametrize(
    "column", ["vouchers.terms", "transfers.meta", "mortgage_offers.loan", "telemetry_events.meta"]
)
def test_json_that_clients_cannot_read_is_refused(rows: psycopg.Connection, column: str, value: str) -> None:
    table, _, name = column.partition(".")
    with pytest.raises(psycopg.Error, match="json_unreasonable"):
        rows.execute(f"update public.{table} set {name} = %s".encode(), (value,))


@pytest.mark.parametrize(
    "value",
    [
        "[" * 62 + "1.7976931348623157e308" + "]" * 62,
        "5e-324",
        "0e-16383",
        f"0.{'1' * 5000}",
        f"[{','.join(['1e308'] * 200)}]",
        f"[{','.join(['0'] * 4_000)}]",
        '"' + r"[{,\"" * 13_000 + '"',
        json.dumps([{"start": "2030-01-07T09:00:00.000Z", "end": "2030-01-07T10:00:00.000Z"}] * 800),
    ],
    ids=[
        "greatest double in 63 levels",
        "least double",
        "zero",
        "many digits",
        "many great numbers",
        "many numbers",
        "brackets in a text",
        "many slots",
    ],
)
def test_json_that_clients_can_read_is_kept(rows: psycopg.Connection, value: str) -> None:
    assert rows.execute("update public.vouchers set terms = %s returning id", (value,)).fetchall() == [("v",)]


@pytest.mark.parametrize("columns", ["vouchers.terms, allowed_slots", "mortgage_offers.loan, room_refs"])
def test_the_json_of_a_row_counts_together(rows: psycopg.Connection, columns: str) -> None:
    table, _, names = columns.partition(".")
    halves = ", ".join(f"{name} = jsonb_build_array(repeat('x', 33000))" for name in names.split(", "))
    with pytest.raises(psycopg.Error, match="json_unreasonable"):
        rows.execute(f"update public.{table} set {halves}".encode())


GOOD_ROWS = b"""
insert into public.thinkers (id, public_id) values (private.thinker_id('a'), 'a');
insert into public.presence_sessions (thinker_id, pair_code) values (private.thinker_id('a'), 'p');
insert into public.rooms (id) values ('r');
insert into public.vouchers (id, issuer_id, valid_from, valid_until)
values ('v', private.thinker_id('a'), now(), now());
insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)
values ('v', private.thinker_id('a'), private.thinker_id('a'), now(), now() + interval '1 hour');
insert into public.contracts (name, byte_size, storage_url, hash_sha256)
values ('c', 0, 'contracts/c/c', repeat('0', 64));
insert into public.contract_links (contract_id, room_id) select id, 'r' from public.contracts;
insert into public.mortgage_applications (id, borrower_id) values ('app', private.thinker_id('a'));
insert into public.mortgage_offers (id, application_id, lender_id, room_refs)
values ('o', 'app', private.thinker_id('a'), '{}');
insert into public.mortgage_contracts (offer_id) values ('o');
insert into public.transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label)
values ('t', 'in', 1, 'ETH', 1, 'EUR', 'l');
insert into public.telemetry_events (type) values ('page.view');
insert into public.fees (id, scope) values ('f', 'voucher');
insert into public.fee_events (
  fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, base_cents, rate, fixed_cents, unrounded
)
values ('f', 'transfer', 't', 2, 'EUR', private.thinker_id('a'), 75, 0.02, 0, 1.5);
insert into public.settlements (beneficiary_id, period_from, period_to, total_cents, currency)
values (private.thinker_id('a'), '2026-01-01', '2026-02-01', 0, 'EUR');
"""
