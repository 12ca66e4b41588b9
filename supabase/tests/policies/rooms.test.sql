begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(9);

select tests.sign_out();
select throws_ok('select * from rooms', '42501', null, 'anon sees no room');

select tests.sign_in('sam');
select set_eq(
  $$ select coalesce(meta ->> 'pair_code', meta ->> 'offer_id', meta ->> 'source') from rooms $$,
  array['elsewhere', 'zoe-1', 'zoe-3', 'mortgage', 'contract'],
  'a thinker sees its own rooms, the one it is in, and those of its mortgages'
);
select tests.sign_in('visitor');
select send_heartbeat('familie');
select is_empty('select * from rooms', 'knowing the pair code shows no room');
select match_presence('familie');
select is((select meta ->> 'pair_code' from rooms), 'familie', 'a thinker in a room sees it');
select send_heartbeat('garten');
select is_empty('select * from rooms', 'and no longer after leaving it');

select tests.sign_in('anna');
select is(
  (select tests.uid(owner_id) from rooms where id = 'mortgage:offer:ben-1'), 'ben',
  'a borrower sees the room of an offer, which is the lender''s'
);
select tests.sign_in('ben');
select is(
  (select tests.uid(owner_id) from rooms where id like 'mortgage:contract:%'), 'anna',
  'a lender sees the room of the contract, which is the borrower''s'
);
select tests.sign_in('nora');
select is_empty('select * from rooms', 'a notary sees no room');
select tests.sign_in('ada');
select set_has('select id from rooms', $$ values ('desk'), ('mortgage:offer:ben-1') $$, 'an admin sees all');

select * from finish();
rollback;
