begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(5);

select tests.sign_in('sam');
select throws_ok(
  $$ select book_voucher('given', '2030-01-07 09:00Z') $$, 'PT404', 'voucher_not_found',
  'a voucher reserved for another thinker'
);
select throws_ok(
  $$ select book_voucher('past', '2020-01-07 09:00Z') $$, 'PT404', 'voucher_not_found',
  'an expired voucher'
);
select throws_ok(
  $$ select book_voucher('open', '2030-01-07 09:30Z') $$, 'PT409', 'slot_not_offered',
  'a time that is not the start of a slot'
);
select throws_ok(
  $$ select book_voucher('open', '2030-01-07 18:00Z') $$, 'PT409', 'slot_not_offered',
  'a slot that would end after the voucher'
);
select throws_ok($$ select book_voucher('open', null) $$, 'PT409', 'slot_not_offered', 'null is not a slot');

select * from finish();
rollback;
