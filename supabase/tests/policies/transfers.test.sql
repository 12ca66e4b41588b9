begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(6);

select tests.sign_out();
select throws_ok('select * from transfers', '42501', null, 'anon sees no transfer');
select tests.sign_in('anna');
select bag_eq('select tests.uid(thinker_id) from transfers', array['anna'], 'one sees what one logged');
select tests.sign_in('ben');
select is_empty('select * from transfers', 'a friend''s is not one''s own');
select log_transfer('out', 2, 'ETH', 2, 'EUR');
select bag_eq('select tests.uid(thinker_id) from transfers', array['ben'], 'what is new is seen at once');
select tests.sign_in('nora');
select is_empty('select * from transfers', 'a notary sees none');
select tests.sign_in('ada');
select set_has(
  'select coalesce(tests.uid(thinker_id), ''nobody'') from transfers', $$ values ('anna'), ('sam'), ('nobody') $$,
  'an admin sees all, nobody''s too'
);

select * from finish();
rollback;
