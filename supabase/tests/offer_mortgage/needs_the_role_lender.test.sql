begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(5);

select tests.sign_in('ben');
select throws_ok(
  $$ select offer_mortgage('anna-2', 'o-1') $$, 'PT403', 'lender_role_required',
  'a thinker without the role may not offer, even with earlier offers'
);
select tests.sign_in('nora');
select throws_ok(
  $$ select offer_mortgage('anna-2', 'o-1') $$, 'PT403', 'lender_role_required', 'a notary may not offer'
);
select tests.sign_in('lena');
select is(offer_mortgage('anna-2', 'o-1') ->> 'lender_uid', 'lena', 'a thinker with the role lender may offer');
select tests.sign_in('bank', '{"app_metadata": {"role": "lender"}}');
select is(offer_mortgage('anna-2', 'o-2') ->> 'lender_uid', 'bank', 'a thinker with the role in its token may offer');
select throws_ok(
  $$ select offer_mortgage('anna-1', 'o-3') $$, 'PT409', 'application_closed', 'but not for an accepted application'
);

select * from finish();
rollback;
