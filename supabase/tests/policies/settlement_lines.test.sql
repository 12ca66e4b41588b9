begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(6);

prepare lines as
select e.fee_id || ' ' || tests.uid(e.payer_id)
from settlement_lines l
join fee_events e on e.id = l.fee_event_id
where e.fee_id like 'world.%';

select tests.sign_out();
select throws_ok('select * from settlement_lines', '42501', null, 'anon sees no line');
select tests.sign_in('anna');
select bag_eq(
  'lines', array['world.portal anna', 'world.anna sam'],
  'a payer sees its own lines, a beneficiary those of its settlements'
);
select tests.sign_in('ben');
select bag_eq('lines', array['world.portal ben'], 'another payer of the same settlement sees only its own');
select tests.sign_in('nora');
select is_empty('select * from settlement_lines', 'a stranger sees none');
select tests.sign_in('ada');
select is(
  (select count(*) from settlement_lines), (select count(*) from fee_events where settlement_id is not null),
  'an admin sees all'
);
select throws_ok(
  'delete from settlement_lines', '42501', 'permission denied for table settlement_lines', 'and deletes none'
);

select * from finish();
rollback;
