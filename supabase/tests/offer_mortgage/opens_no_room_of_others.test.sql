begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(4);

-- documents of a negotiation whose offer is not stored here, such as an accepted one of the legacy portal
insert into public.rooms (id, owner_id)
values ('mortgage:offer:of-sam', tests.thinker_id('sam')), ('mortgage:offer:of-lena', tests.thinker_id('lena')),
  ('mortgage:offer:of-nobody', null);

select tests.sign_in('lena');
select throws_ok(
  $$ select offer_mortgage('anna-2', 'of-sam') $$, 'PT409', 'offer_exists', 'a room of another is not opened'
);
select throws_ok(
  $$ select offer_mortgage('anna-2', 'of-sam', room_refs => '{}') $$, 'PT409', 'offer_exists',
  'also where the offer names other rooms'
);
select throws_ok(
  $$ select offer_mortgage('anna-2', 'of-nobody') $$, 'PT409', 'offer_exists', 'nor is one of a trusted server'
);
select is(offer_mortgage('anna-2', 'of-lena') ->> 'id', 'of-lena', 'the lender may have its room before its offer');

select * from finish();
rollback;
