create function private.import_reason(state text, constraint_name text, message text)
returns text
language sql
immutable
set search_path = ''
as $$
  select case
    when state like 'PT%' or state like 'IM%' then message
    when state = '23514' then constraint_name
    when state = '23503' and constraint_name like '%voucher_id_fkey' then 'voucher_missing'
    when state = '23503' and constraint_name like '%application_id_fkey' then 'application_missing'
    when state = '23503' and constraint_name like '%contract_id_fkey' then 'contract_missing'
    when state = '23503' then constraint_name
    when state = '23P01' then 'slot_taken'
    when state = '23505' then 'id_taken'
    when state = '23502' then 'value_missing'
    when state in ('22P05', '22021') then 'text_unreadable'
    when state = '54000' then 'text_too_long'
    when state = '54001' then 'json_unreasonable'
    when state in ('22007', '22008') then 'date_invalid'
    when state = '22P02' and message like '%type json%' then 'json_invalid'
    when state like '22%' then 'value_invalid'
  end
$$;

comment on function private.import_reason is
  'The reason to reject a row for which PostgreSQL raised this error: a code that SQL raises, the name of a check, or '
  'one of docs/import.md; null for an error that is not the row''s, such as a full disk.';
