begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(11);

select tests.sign_out();
select throws_ok('select * from contracts', '42501', null, 'anon sees no document');

select tests.sign_in('anna');
select set_eq(
  'select name from contracts', array['deed', 'terms', 'plan', 'annex', 'mortgage'],
  'a thinker sees what it stored, and what others linked to its voucher or mortgage'
);
select tests.sign_in('ben');
select set_eq(
  'select name from contracts', array['terms', 'plan', 'annex', 'mortgage'],
  'a party sees the documents of the voucher, the room and the mortgage'
);
select tests.sign_in('ben');
select cancel_booking(voucher_id => 'booked');
select set_eq(
  'select name from contracts', array['plan', 'annex', 'mortgage'],
  'a former holder sees only its own documents of the voucher'
);
select send_heartbeat('garten');
select set_eq(
  'select name from contracts', array['annex', 'mortgage'], 'after leaving the room it no longer sees its documents'
);
select tests.sign_in('visitor');
select is_empty('select * from contracts', 'a stranger sees none');
select send_heartbeat('garten'), match_presence('garten');
select is_empty('select * from contracts', 'not even in another room together with ben');

select tests.sign_in('lena');
select is_empty('select * from contracts', 'a lender sees none');
select tests.sign_in('nora');
select set_eq('select name from contracts', array['mortgage'], 'a notary sees the documents of mortgages');
select tests.sign_in('zoe');
select set_eq('select name from contracts', array['sams'], 'the other group sees its own');
select tests.sign_in('ada');
select set_has('select name from contracts', $$ values ('deed'), ('sams') $$, 'an admin sees all');

select * from finish();
rollback;
