-- Demo data: who runs this twice has it once. Everything goes through the functions, as the portal's requests do,
-- so that the rules hold and the events are written.
do $$
declare
  tomorrow timestamptz := date_trunc('day', now()) + interval '1 day';
  result   jsonb;

  anna  jsonb := '{"role": "authenticated", "public_id": "demo-anna"}';
  ben   jsonb := '{"role": "authenticated", "public_id": "demo-ben"}';
  clara jsonb := '{"role": "authenticated", "public_id": "demo-clara"}';
  bank  jsonb := '{"role": "authenticated", "public_id": "demo-bank"}';
begin
  if exists (select from public.vouchers where id = 'v-demo-consulting') then
    return;
  end if;

  anna  := anna  || jsonb_build_object('sub', private.thinker_id('demo-anna'));
  ben   := ben   || jsonb_build_object('sub', private.thinker_id('demo-ben'));
  clara := clara || jsonb_build_object('sub', private.thinker_id('demo-clara'));
  bank  := bank  || jsonb_build_object('sub', private.thinker_id('demo-bank'));

  -- roles are what an operator gives
  insert into public.thinkers (id, public_id, roles)
  values (private.thinker_id('demo-bank'), 'demo-bank', '{lender}')
  on conflict (id) do update set roles = excluded.roles;

  -- Anna issues a voucher from each template, for next week's office hours
  perform set_config('request.jwt.claims', anna::text, true);
  perform public.issue_voucher(
    voucher_id => 'v-demo-' || t.id,
    service_type => t.service_type,
    title => t.title,
    duration_minutes => t.default_duration,
    valid_from => tomorrow + interval '8 hours',
    valid_until => tomorrow + interval '6 days 17 hours',
    price_amount => case t.id when 'viewing' then null else 12000 end,
    transferable => true,
    terms => t.default_terms
  )
  from public.voucher_templates t;

  -- Ben books two appointments and cancels one
  perform set_config('request.jwt.claims', ben::text, true);
  perform public.book_voucher('v-demo-consulting', tomorrow + interval '9 hours');
  result := public.book_voucher('v-demo-therapy', tomorrow + interval '10 hours');
  perform public.cancel_booking(booking_id => result #>> '{booking,id}', reason => 'krank');

  -- Clara applies for a mortgage and accepts the bank's offer
  perform set_config('request.jwt.claims', clara::text, true);
  perform public.apply_for_mortgage(
    application_id => 'app-demo-1', property_id => 'house-123', desired_loan => 36000000, duration_years => 20,
    rate_type => 'fixed', max_interest => 0.04, meta => '{"employmentStatus": "employee"}'
  );
  perform public.apply_for_mortgage(
    application_id => 'app-demo-2', property_id => 'house-456', desired_loan => 18000000, duration_years => 15,
    rate_type => 'variable', max_interest => 0.035
  );
  perform set_config('request.jwt.claims', bank::text, true);
  perform public.offer_mortgage(
    'app-demo-1', offer_id => 'mort-offer-demo-1', interest_rate => 0.0385, monthly_payment => 215000
  );
  perform set_config('request.jwt.claims', clara::text, true);
  perform public.accept_mortgage_offer('mort-offer-demo-1');

  -- transfers in three currencies
  perform set_config('request.jwt.claims', ben::text, true);
  perform public.log_transfer('in', 0.5, 'ETH', 1500.75, 'EUR', network => 'Ethereum Mainnet');
  perform public.log_transfer('out', 120.25, 'USDC', 120, 'USD', network => 'Polygon');
  perform public.log_transfer('in', 0.01, 'BTC', 95000, 'JPY', network => 'Bitcoin');

  perform set_config('request.jwt.claims', '', true);
end;
$$;
