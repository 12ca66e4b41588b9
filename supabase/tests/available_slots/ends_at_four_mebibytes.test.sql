begin;
\ir ../helpers.psql
select plan(2);

select tests.sign_in('anna');
select issue_voucher(
  repeat(e'\x01', 255), valid_from => '2030-01-07 09:00Z', valid_until => '2032-01-07 09:00Z'
);
select issue_voucher(repeat('x', 255), valid_from => '2030-01-07 09:00Z', valid_until => '2032-01-07 09:00Z');

select cmp_ok(
  octet_length(available_slots(repeat(e'\x01', 255))::text), '<=', 4194304, 'an id of escaped characters ends the list'
);
select is(jsonb_array_length(available_slots(repeat('x', 255))), 8760, 'any other has the slots of a year');

select * from finish();
rollback;
