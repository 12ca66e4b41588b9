begin;
\ir ../helpers.psql
select plan(5);

select set_eq(
  $$
    select proname::text
    from pg_proc
    where pronamespace = 'public'::regnamespace and has_function_privilege('anon', oid, 'execute')
  $$,
  array['available_slots', 'check_request', 'ping'],
  'anon may execute three functions in public'
);

select tests.sign_out();
select is(ping(), true, 'anon may execute ping');
select throws_ok(
  $$ select issue_voucher('v-1') $$, '42501', 'permission denied for function issue_voucher',
  'anon may not issue a voucher'
);
select throws_ok(
  $$ select log_transfer('in', 1, 'ETH', 1, 'EUR') $$, '42501', 'permission denied for function log_transfer',
  'anon may not log a transfer'
);
select throws_ok(
  $$ select private.thinker_id('a') $$, '42501', 'permission denied for schema private',
  'anon may execute nothing in private'
);

select * from finish();
rollback;
