create function private.booking_json(booking public.voucher_bookings)
returns jsonb
language sql
stable
return to_jsonb(booking) || jsonb_build_object(
  'issuer_uid', private.uid_of(booking.issuer_id),
  'holder_uid', private.uid_of(booking.holder_id)
);

comment on function private.booking_json is
  'A booking as the functions return it: its columns and the uids of issuer and holder.';

grant execute on function private.booking_json to service_role, authenticated;
