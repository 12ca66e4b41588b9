begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(50);

create temporary table questions as
select format('select %s()', name) as question, name
from unnest(
  array[
    'dashboard', 'error_summary', 'list_events', 'list_presence', 'presence_stats', 'voucher_stats', 'mortgage_stats',
    'telbank_stats', 'fee_stats', 'system_stats'
  ]
) as name;
grant select on questions to authenticated, service_role;

select tests.sign_in('nora');
select throws_ok(question, 'PT403', 'not_an_admin', 'a notary may not call ' || name) from questions;
select tests.sign_in('sam', '{"user_metadata": {"role": "admin"}}');
select throws_ok(question, 'PT403', 'not_an_admin', 'user_metadata does not make an admin: ' || name) from questions;
select tests.sign_in('ada');
select lives_ok(question, 'an admin by role may call ' || name) from questions;
select tests.sign_in('olga', '{"app_metadata": {"roles": ["admin"]}}');
select lives_ok(question, 'an admin by its token may call ' || name) from questions;
select tests.be_server();
select lives_ok(question, 'a trusted server may call ' || name) from questions;

select * from finish();
rollback;
