begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(9);

select tests.sign_in('ben');
select ok(check_contract_link('booked', 'mortgage:offer:ben-1'), 'a holder and lender may link to voucher and room');
select ok(check_contract_link(room_id => 'new-room'), 'every thinker may link to a new room');

select tests.sign_in('sam');
select throws_ok(
  $$ select check_contract_link('booked') $$, 'PT404', 'voucher_not_found', 'a stranger may not link to a voucher'
);
select throws_ok(
  $$ select check_contract_link('open') $$, 'PT404', 'voucher_not_found', 'not even to an open offer'
);
select throws_ok(
  $$ select check_contract_link(room_id => 'mortgage:offer:ben-1') $$, 'PT403', 'not_your_room',
  'nor to a room of other thinkers'
);
select throws_ok(
  $$ select check_contract_link(room_id => 'mortgage:offer:not-yet') $$, 'PT403', 'not_your_room',
  'nor to a room name that a future mortgage will use'
);
select tests.sign_in('ada');
select throws_ok(
  $$ select check_contract_link(room_id => 'desk') $$, 'PT403', 'not_your_room', 'nor may an admin, who is not a party'
);
select tests.sign_out();
select throws_ok($$ select check_contract_link('open') $$, '42501', null, 'anon may not call it');
select tests.be_server();
select ok(check_contract_link('booked', 'desk'), 'a trusted server may link anything');

select * from finish();
rollback;
