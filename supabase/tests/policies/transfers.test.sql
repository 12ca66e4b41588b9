begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(6);

select tests.sign_out();
select throws_ok('select * from transfers', '42501', null, 'anon sees no transfer');
select tests.sign_in('anna');
select bag_eq('select tests.uid(thinker_id) from transfers', array['anna'], 'a thinker sees its own transfers');
select tests.sign_in('ben');
select is_empty('select * from transfers', 'but not those of a contact');
select log_transfer('out', 2, 'ETH', 2, 'EUR');
select bag_eq('select tests.uid(thinker_id) from transfers', array['ben'], 'it sees a new transfer at once');
select tests.sign_in('nora');
select is_empty('select * from transfers', 'a notary sees none');
select tests.sign_in('ada');
select set_has(
  'select coalesce(tests.uid(thinker_id), ''nobody'') from transfers', $$ values ('anna'), ('sam'), ('nobody') $$,
  'an admin sees all, also those without a thinker'
);

select * from finish();
rollback;
