begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(17);

select tests.sign_out();
select throws_ok('select * from thinkers', '42501', null, 'anon sees nobody');

select tests.sign_in('sam');
select set_eq('select public_id from thinkers', array['sam', 'zoe'], 'a stranger sees its own circle');

-- one tie at a time, with thinkers who have no other
select tests.sign_in('new-holder');
select set_eq('select public_id from thinkers', array[]::text[], 'who has not acted yet sees nobody');
select book_voucher('open', '2030-01-07 10:00Z');
select set_eq('select public_id from thinkers', array['new-holder', 'anna'], 'who books sees the issuer');
select tests.sign_in('anna');
select set_has('select public_id from thinkers', $$ values ('new-holder') $$, 'and the issuer whoever booked');
select tests.sign_in('new-holder');
select cancel_booking(voucher_id => 'open');
select set_has('select public_id from thinkers', $$ values ('anna') $$, 'a cancelled booking still shows them to each other');

select tests.sign_in('anna');
select issue_voucher('for-named', valid_until => '2030-01-07 18:00Z', holder_uid => 'named');
select set_hasnt('select public_id from thinkers', $$ values ('named') $$, 'to name a holder shows nothing of it');
select tests.sign_in('named');
select set_has('select public_id from thinkers', $$ values ('anna') $$, 'but shows the issuer to the holder');

select tests.sign_in('visitor');
select send_heartbeat('familie'), match_presence('familie');
select set_eq('select public_id from thinkers', array['visitor', 'anna', 'ben'], 'in a room one sees the others');
select send_heartbeat('garten');
select set_eq('select public_id from thinkers', array['visitor'], 'and no longer after leaving it');

select tests.sign_in('borrower');
select apply_for_mortgage('new-app');
select tests.be_server('bank');
select offer_mortgage('new-app', 'new-offer');
select tests.sign_in('borrower');
select set_eq('select public_id from thinkers', array['borrower', 'bank'], 'a borrower sees who made it an offer');
select tests.sign_in('bank');
select set_eq('select public_id from thinkers', array['borrower', 'bank'], 'who made an offer sees the borrower');

select tests.sign_in('lena');
select set_eq(
  $$ select public_id from thinkers where public_id not like 'demo-%' $$, array['lena', 'anna', 'sam', 'borrower'],
  'a lender sees the borrowers who still seek'
);
select tests.sign_in('nora');
select set_eq(
  $$ select public_id from thinkers where public_id not like 'demo-%' $$, array['nora', 'anna', 'ben', 'sam', 'zoe'],
  'a notary sees the parties of contracts'
);

reset role;
select set_config('tests.all', count(*)::text, true) from thinkers;
select tests.sign_in('ada');
select is(count(*)::text, current_setting('tests.all'), 'an admin sees everybody') from thinkers;
select tests.sign_in('olga', '{"app_metadata": {"role": "admin"}}');
select is(count(*)::text, current_setting('tests.all'), 'and so does who is admin by its token') from thinkers;
select tests.sign_in('olga', '{"user_metadata": {"role": "admin"}}');
select set_eq('select public_id from thinkers', array[]::text[], 'but not who only calls itself so');

select * from finish();
rollback;
