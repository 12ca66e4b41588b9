begin;
\ir ../helpers.psql
select plan(8);

select tests.sign_in('borrower');
select apply_for_mortgage('app-1');
select tests.be_server('lender');
select offer_mortgage('app-1', 'offer-1');
select tests.sign_in('borrower');
select accept_mortgage_offer('offer-1');
reset role;
select set_config('tests.contract', (select id from mortgage_contracts where offer_id = 'offer-1'), true);
insert into thinkers (id, public_id, roles) values (private.thinker_id('notary'), 'notary', '{notary}');

select tests.sign_in('stranger');
select throws_ok(
  $$ select sign_mortgage_contract(current_setting('tests.contract'), 'borrower') $$, 'PT403', 'not_the_borrower',
  'nobody else signs as borrower'
);
select throws_ok(
  $$ select sign_mortgage_contract(current_setting('tests.contract'), 'lender') $$, 'PT403', 'not_the_lender',
  'nobody else signs as lender'
);
select throws_ok(
  $$ select sign_mortgage_contract(current_setting('tests.contract'), 'notary') $$, 'PT403', 'not_a_notary',
  'only a notary signs as notary'
);

select tests.sign_in('borrower');
select is(
  sign_mortgage_contract(current_setting('tests.contract'), 'borrower') ->> 'status', 'draft',
  'after one signature it is a draft'
);
select tests.sign_in('notary');
select is(
  sign_mortgage_contract(current_setting('tests.contract'), 'notary') ->> 'status', 'draft',
  'after two signatures it is a draft'
);
select tests.sign_in('lender');
select throws_ok(
  $$ select sign_mortgage_contract(current_setting('tests.contract'), 'borrower') $$, 'PT403', 'not_the_borrower',
  'the lender does not sign as borrower'
);
select is(
  sign_mortgage_contract(current_setting('tests.contract'), 'lender') ->> 'status', 'signed',
  'with the third it is signed'
);
select is(
  sign_mortgage_contract(current_setting('tests.contract'), 'lender') ->> 'status', 'signed',
  'signing again changes nothing'
);

select * from finish();
rollback;
