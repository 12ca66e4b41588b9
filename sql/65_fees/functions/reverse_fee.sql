create function public.reverse_fee(fee_event_id uuid, reason text)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  charged  public.fee_events;
  reversal public.fee_events;
begin
  perform private.require_admin();
  if btrim(coalesce(reverse_fee.reason, '')) = '' then
    raise sqlstate 'PT400' using message = 'reason_required';
  end if;

  select * into charged
  from public.fee_events e
  where e.id = reverse_fee.fee_event_id and e.reverses is null and e.adjusts is null;
  if not found then
    raise sqlstate 'PT404' using message = 'fee_event_not_found';
  end if;

  insert into public.fee_events (
    fee_id, subject_type, subject_id, currency, beneficiary_id, payer_id, reverses, reason
  )
  values (
    charged.fee_id, charged.subject_type, charged.subject_id, charged.currency, charged.beneficiary_id,
    charged.payer_id, charged.id, reverse_fee.reason
  )
  on conflict do nothing
  returning * into reversal;
  if not found then
    raise sqlstate 'PT409' using message = 'fee_already_reversed';
  end if;

  return to_jsonb(reversal);
end;
$$;

comment on function public.reverse_fee is
  'Gives back what is left of a charge, whatever became of its subject: a new fee event with the reason and the '
  'operator, due in the next settlement. Returns the new fee event. Neither a reversal nor an adjustment is a charge. '
  'Raises: query_too_large, reason_required (400); session_ended (401); not_an_admin (403); fee_event_not_found '
  '(404); fee_already_reversed (409).';

grant execute on function public.reverse_fee to authenticated, service_role;
