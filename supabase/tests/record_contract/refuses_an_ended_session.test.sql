begin;
\ir ../helpers.psql
select plan(2);

create function tests.record(session uuid)
returns jsonb
language plpgsql
as $$
begin
  perform set_config(
    'request.jwt.claims',
    (current_setting('request.jwt.claims')::jsonb || jsonb_build_object('portal_session', session))::text, true
  );
  return public.record_contract(
    gen_random_uuid(), 'name', null, 1, format('contracts/%s/x', gen_random_uuid()), repeat('0', 64)
  );
end;
$$;
grant execute on function tests.record to service_role;

select tests.be_server();
select claim_thinker('00000000-0000-4000-8000-000000000001', 'anna');
select tests.be_server('anna');
select lives_ok(
  $$ select tests.record('00000000-0000-4000-8000-000000000001') $$, 'a session stores a document of its thinker'
);
reset role;
select private.release_thinker('anna');
select tests.be_server('anna');
select throws_ok(
  $$ select tests.record('00000000-0000-4000-8000-000000000001') $$, 'PT401', 'session_ended',
  'not after the thinker was released, while the document was stored'
);

select * from finish();
rollback;
