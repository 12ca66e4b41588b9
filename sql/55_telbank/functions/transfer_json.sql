create function private.transfer_json(transfer public.transfers)
returns jsonb
language sql
stable
return to_jsonb(transfer) || jsonb_build_object(
  'crypto_amount', trim_scale(transfer.crypto_amount),
  'fiat_exponent', private.currency_exponent(transfer.fiat_currency),
  'thinker_uid', private.uid_of(transfer.thinker_id)
);

comment on function private.transfer_json is
  'A transfer as the functions return it: its columns, the decimals of its fiat currency, and the uid of the thinker '
  'who logged it.';

grant execute on function private.currency_exponent to service_role, authenticated;
grant execute on function private.transfer_json to service_role, authenticated;
