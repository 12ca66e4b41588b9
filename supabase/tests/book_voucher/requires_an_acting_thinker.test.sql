begin;
\ir ../helpers.psql
select plan(3);

select tests.sign_in('issuer');
select issue_voucher('v-1', valid_from => '2030-01-07 09:00Z', valid_until => '2030-01-07 18:00Z');

select tests.sign_out();
select throws_ok(
  $$ select book_voucher('v-1', '2030-01-07 09:00Z') $$,
  '42501', null,
  'anon may not book'
);
select tests.be_server();
select throws_ok(
  $$ select book_voucher('v-1', '2030-01-07 09:00Z') $$,
  'PT401', 'not_signed_in',
  'a trusted server may not book without naming a thinker'
);
select tests.sign_in('holder', '{"sub": null}');
select throws_ok(
  $$ select book_voucher('v-1', '2030-01-07 09:00Z') $$,
  'PT401', 'not_signed_in',
  'a token without a subject may not book'
);

select * from finish();
rollback;
