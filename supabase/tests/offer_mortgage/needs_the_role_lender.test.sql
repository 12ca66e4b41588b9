begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(5);

select tests.sign_in('ben');
select throws_ok(
  $$ select offer_mortgage('anna-2', 'o-1') $$, 'PT403', 'lender_role_required',
  'who made an offer before, but has no role, may make none'
);
select tests.sign_in('nora');
select throws_ok(
  $$ select offer_mortgage('anna-2', 'o-1') $$, 'PT403', 'lender_role_required', 'a notary is no lender'
);
select tests.sign_in('lena');
select is(offer_mortgage('anna-2', 'o-1') ->> 'lender_uid', 'lena', 'a lender by role makes an offer');
select tests.sign_in('bank', '{"app_metadata": {"role": "lender"}}');
select is(offer_mortgage('anna-2', 'o-2') ->> 'lender_uid', 'bank', 'so does a lender by its token');
select throws_ok(
  $$ select offer_mortgage('anna-1', 'o-3') $$, 'PT409', 'application_closed', 'but not for an accepted application'
);

select * from finish();
rollback;
