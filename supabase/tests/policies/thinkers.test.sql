begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(17);

select tests.sign_out();
select throws_ok('select * from thinkers', '42501', null, 'anon sees nobody');

select tests.sign_in('sam');
select set_eq('select public_id from thinkers', array['sam', 'zoe'], 'a thinker sees only its own group');

-- one relation at a time, with thinkers who have no other
select tests.sign_in('new-holder');
select set_eq('select public_id from thinkers', array[]::text[], 'a thinker without any row sees nobody');
select book_voucher('open', '2030-01-07 10:00Z');
select set_eq('select public_id from thinkers', array['new-holder', 'anna'], 'a holder sees the issuer');
select tests.sign_in('anna');
select set_has('select public_id from thinkers', $$ values ('new-holder') $$, 'and the issuer sees the holder');
select tests.sign_in('new-holder');
select cancel_booking(voucher_id => 'open');
select set_has('select public_id from thinkers', $$ values ('anna') $$, 'also after the booking was cancelled');

select tests.sign_in('anna');
select issue_voucher('for-named', valid_until => '2030-01-07 18:00Z', holder_uid => 'named');
select set_hasnt('select public_id from thinkers', $$ values ('named') $$, 'the issuer does not see a named holder');
select tests.sign_in('named');
select set_has('select public_id from thinkers', $$ values ('anna') $$, 'but shows the issuer to the holder');

select tests.sign_in('visitor');
select send_heartbeat('familie'), match_presence('familie');
select set_eq('select public_id from thinkers', array['visitor', 'anna', 'ben'], 'in a room a thinker sees the others');
select send_heartbeat('garten');
select set_eq('select public_id from thinkers', array['visitor'], 'and no longer after leaving it');

select tests.sign_in('borrower');
select apply_for_mortgage('new-app');
select tests.be_server('bank');
select offer_mortgage('new-app', 'new-offer');
select tests.sign_in('borrower');
select set_eq('select public_id from thinkers', array['borrower', 'bank'], 'a borrower sees the lender of an offer');
select tests.sign_in('bank');
select set_eq('select public_id from thinkers', array['borrower', 'bank'], 'the lender of an offer sees the borrower');

select tests.sign_in('lena');
select set_eq(
  $$ select public_id from thinkers where public_id not like 'demo-%' $$, array['lena', 'anna', 'sam', 'borrower'],
  'a lender by role sees the borrowers of open and offered applications'
);
select tests.sign_in('nora');
select set_eq(
  $$ select public_id from thinkers where public_id not like 'demo-%' $$, array['nora', 'anna', 'ben', 'sam', 'zoe'],
  'a notary sees the parties of contracts'
);

reset role;
select set_config('tests.all', count(*)::text, true) from thinkers;
select tests.sign_in('ada');
select is(count(*)::text, current_setting('tests.all'), 'an admin sees all') from thinkers;
select tests.sign_in('olga', '{"app_metadata": {"role": "admin"}}');
select is(count(*)::text, current_setting('tests.all'), 'so does an admin by its token') from thinkers;
select tests.sign_in('olga', '{"user_metadata": {"role": "admin"}}');
select set_eq('select public_id from thinkers', array[]::text[], 'user_metadata, written by the user, grants nothing');

select * from finish();
rollback;
