create function private.next_invoice_number(beneficiary uuid, year integer)
returns text
language sql
volatile
set search_path = ''
as $$
  with counted as (
    insert into private.invoice_numbers as n (beneficiary_id, year, last)
    values (next_invoice_number.beneficiary, next_invoice_number.year, 1)
    on conflict (beneficiary_id, year) do update set last = n.last + 1
    returning n.last
  )
  select replace(
    replace(s.invoice_number, '{year}', next_invoice_number.year::text),
    '{number}',
    lpad(c.last::text, greatest(4, length(c.last::text)), '0')
  )
  from counted c
  cross join private.settings s
$$;

comment on function private.next_invoice_number is
  'The next number of a beneficiary in a year, in the pattern of private.settings.invoice_number. Other invoices of '
  'the beneficiary wait for the end of the transaction, so that no number is left out or used twice.';
