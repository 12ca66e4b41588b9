create function private.import_left(legacy_table text, content jsonb)
returns jsonb
language sql
immutable
set search_path = ''
return case
  when legacy_table = 'voucher_bookings' and content ->> 'voucher_id' <> ''
    then jsonb_build_object('voucher_id', left(content ->> 'voucher_id', 256))
  else '{}'
end;

comment on function private.import_left is
  'What a reject keeps of a row that names an erased thinker: of a booking the voucher, because another one held it '
  '(private.my_contract_links), and of any other row nothing.';
