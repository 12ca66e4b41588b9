begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(11);

create function tests.record(name text, byte_size bigint, client text default null)
returns jsonb
language sql
as $$
  select public.record_contract(
    gen_random_uuid(), name, null, byte_size, format('contracts/%s/x', gen_random_uuid()), repeat('0', 64),
    client => client
  )
$$;
grant execute on function tests.record to service_role;

create function tests.counted(uid text default null)
returns bigint
language sql
security definer
as $$
  select sum(greatest(byte_size, 65536)) from public.contracts where uid is null or created_by = tests.thinker_id(uid)
$$;

select is(bytes::bigint, tests.counted(), 'the total is that of the documents') from private.document_total;
update private.settings set document_bytes_a_thinker = tests.counted('sam') + 100000;
select tests.be_server('sam');
select throws_ok(
  $$ select tests.record('large', 100001) $$, 'PT403', 'your_documents_full', 'a thinker may not have more'
);
select lives_ok($$ select tests.record('fits', 100000) $$, 'a thinker may have its bytes');
select throws_ok(
  $$ select tests.record('empty', 0) $$, 'PT403', 'your_documents_full', 'a small document counts, too'
);
select tests.be_server();
select lives_ok($$ select tests.record('of nobody', 1000000) $$, 'a document may be nobody''s');
reset role;
update private.settings set document_bytes = tests.counted() + 65535;
select tests.be_server();
select throws_ok($$ select tests.record('empty', 0) $$, 'PT507', 'storage_full', 'all documents have a limit, too');
reset role;
update private.settings set document_bytes = tests.counted() + 65536;
select tests.be_server();
select lives_ok($$ select tests.record('empty', 0) $$, 'and may reach it');
reset role;
delete from public.contracts where name = 'fits';
update public.contracts set byte_size = 70000 where name = 'empty';
select is(bytes::bigint, tests.counted(), 'also when documents are changed or deleted') from private.document_total;

update private.settings set document_bytes = default, upload_bytes_a_day = 3 * 65536;
select tests.be_server();
select lives_ok(
  $$ select tests.record('an address''s', 65537, 'a'), tests.record('its third', 0, 'a') $$,
  'an address may upload its bytes, each document in blocks of 64 KiB'
);
select throws_ok(
  $$ select tests.record('empty', 0, 'a') $$, 'PT429', 'daily_limit_reached', 'and not one more within a day'
);
select lives_ok(
  $$ select tests.record('another''s', 65536, 'b'), tests.record('a server''s', 1000000) $$,
  'which neither another address nor a trusted server notices'
);
reset role;

select * from finish();
rollback;
