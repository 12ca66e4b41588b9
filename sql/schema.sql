-- The schema as it is now, in load order (psql -f sql/schema.sql on a database with the platform).
-- What is applied is supabase/migrations; a test proves that both give the same database.

\ir 10_identity/privileges.sql
\ir 10_identity/private.sql
\ir 10_identity/ping.sql
\ir 10_identity/iso.sql
\ir 10_identity/check_json.sql
\ir 10_identity/in_calendar.sql
\ir 10_identity/new_suffix.sql
\ir 10_identity/new_id.sql
\ir 10_identity/new_uuid.sql
\ir 10_identity/thinker_id.sql
\ir 10_identity/thinkers.sql
\ir 10_identity/rooms.sql
\ir 10_identity/presence_sessions.sql
\ir 10_identity/thinker_of.sql
\ir 10_identity/acting_thinker.sql
\ir 10_identity/uid_of.sql
\ir 10_identity/is_service.sql
\ir 10_identity/may_act_as.sql
\ir 10_identity/verify_presence.sql
\ir 10_identity/send_heartbeat.sql
\ir 10_identity/match_presence.sql
\ir 10_identity/list_presence.sql

\ir 20_vouchers/voucher_templates.sql
\ir 20_vouchers/vouchers.sql
\ir 20_vouchers/voucher_bookings.sql
\ir 20_vouchers/voucher_json.sql
\ir 20_vouchers/booking_json.sql
\ir 20_vouchers/slots_of.sql
\ir 20_vouchers/issue_voucher.sql
\ir 20_vouchers/list_vouchers.sql
\ir 20_vouchers/available_slots.sql
\ir 20_vouchers/book_voucher.sql
\ir 20_vouchers/cancel_booking.sql
\ir 20_vouchers/list_bookings.sql

\ir 30_contracts/contracts.sql
\ir 30_contracts/contract_links.sql
\ir 30_contracts/contract_json.sql
\ir 30_contracts/record_contract.sql
\ir 30_contracts/list_contracts.sql

\ir 40_mortgages/properties.sql
\ir 40_mortgages/mortgage_applications.sql
\ir 40_mortgages/mortgage_offers.sql
\ir 40_mortgages/mortgage_contracts.sql
\ir 40_mortgages/application_json.sql
\ir 40_mortgages/offer_json.sql
\ir 40_mortgages/mortgage_contract_json.sql
\ir 40_mortgages/check_interest.sql
\ir 40_mortgages/apply_for_mortgage.sql
\ir 40_mortgages/list_mortgage_applications.sql
\ir 40_mortgages/offer_mortgage.sql
\ir 40_mortgages/list_mortgage_offers.sql
\ir 40_mortgages/accept_mortgage_offer.sql
\ir 40_mortgages/sign_mortgage_contract.sql

\ir 50_telbank/transfers.sql
\ir 50_telbank/currency_exponent.sql
\ir 50_telbank/transfer_json.sql
\ir 50_telbank/log_transfer.sql
\ir 50_telbank/list_transfers.sql
\ir 50_telbank/get_transfer.sql

\ir 60_events/events.sql
\ir 60_events/telemetry_events.sql
\ir 60_events/tg_thinkers__write_verify.sql
\ir 60_events/tg_presence_sessions__write_heartbeat.sql
\ir 60_events/tg_presence_sessions__write_match.sql
\ir 60_events/tg_vouchers__write_issue.sql
\ir 60_events/tg_voucher_bookings__write_book.sql
\ir 60_events/tg_voucher_bookings__write_cancel.sql
\ir 60_events/tg_contracts__write_upload.sql
\ir 60_events/tg_mortgage_applications__write_application.sql
\ir 60_events/tg_mortgage_offers__write_offer.sql
\ir 60_events/tg_transfers__write_logged.sql
\ir 60_events/tg_telemetry_events__write_event.sql
\ir 60_events/record_telemetry.sql
\ir 60_events/event_json.sql
\ir 60_events/list_events.sql
\ir 60_events/dashboard.sql
\ir 60_events/error_summary.sql

\ir 70_fees/fees.sql
\ir 70_fees/settlements.sql
\ir 70_fees/fee_events.sql
