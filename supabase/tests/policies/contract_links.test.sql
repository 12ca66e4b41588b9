begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(7);

select tests.sign_out();
select throws_ok('select * from contract_links', '42501', null, 'anon sees no link');

-- sam's document is also linked to anna's voucher
reset role;
insert into contract_links (contract_id, voucher_id, role)
select id, 'booked', 'annex' from contracts where name = 'sams';

select tests.sign_in('anna');
select bag_eq(
  'select coalesce(voucher_id, ''room'') from contract_links', array['booked', 'booked', 'booked', 'room'],
  'a thinker sees the links of its documents, and all links to its voucher'
);
select tests.sign_in('ben');
select bag_eq(
  'select coalesce(voucher_id, ''room'') from contract_links', array['booked', 'booked', 'room'],
  'a holder sees the links of its own and the issuer''s documents to the voucher, and those to the room'
);
select tests.sign_in('sam');
select bag_eq(
  'select voucher_id from contract_links', array['sams', 'booked'],
  'the creator of a document sees all its links'
);
select tests.sign_in('zoe');
select bag_eq(
  'select voucher_id from contract_links', array['sams'],
  'a party of one link does not see the document''s other link'
);
select tests.sign_in('nora');
select is_empty('select * from contract_links', 'a notary sees none');
select tests.sign_in('ada');
select set_has('select voucher_id from contract_links', $$ values ('booked'), ('sams') $$, 'an admin sees all');

select * from finish();
rollback;
