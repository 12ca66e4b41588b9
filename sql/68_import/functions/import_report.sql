create function private.import_report(source text)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  report jsonb := jsonb_build_object();
  part   jsonb;
  item   record;
begin
  for item in
    select *
    from (
      values
        ('transfers', 't.fiat_amount'), ('vouchers', 't.price_amount'), ('voucher_bookings', null),
        ('properties', null), ('mortgage_applications', 't.desired_loan'), ('mortgage_offers', 't.monthly_payment'),
        ('contracts', null), ('contract_links', null), ('events', null), ('telemetry_events', null)
    ) as known (name, amount)
  loop
    execute format(
      'with compared as materialized (
         select r.digest as source, t.id is not null as is_there, %1$s as target, r.currency, r.amount as source_amount,
           %2$s::numeric as target_amount
         from private.import_rows r
         left join public.%3$I t on t.id = %4$s
         where r.legacy_table = %3$L and r.source = $1
       )
       select jsonb_build_object(
         ''rows'', count(*),
         ''missing'', count(*) filter (where not c.is_there),
         ''changed_here'', count(*) filter (where c.is_there and c.source <> c.target),
         ''source_checksum'', to_hex(coalesce(bit_xor(c.source), 0)),
         ''target_checksum'', to_hex(coalesce(bit_xor(case when c.is_there then c.target end), 0)),
         ''sums'', coalesce(
           (
             select jsonb_agg(to_jsonb(s) order by s.currency)
             from (
               select c.currency, trim_scale(sum(c.source_amount))::text as source,
                 sum(c.target_amount)::text as target,
                 trim_scale(sum(round(c.source_amount) - c.source_amount))::text as rounding
               from compared c
               where c.source_amount is not null
               group by c.currency
             ) s
           ),
           ''[]''
         )
       )
       from compared c',
      private.import_digest(item.name, 't'), coalesce(item.amount, 'null'), item.name,
      private.import_key(item.name, 'r.id')
    ) into part using import_report.source;
    report := report || jsonb_build_object(item.name, part);
  end loop;
  return report;
end;
$$;

comment on function private.import_report is
  'Compares all rows that were imported from a source with what the tables have now, by table: rows, how many are '
  'missing or were changed here since, checksums and sums of amounts (texts, in minor units) on both sides, and what '
  'the rounding of fractions of a minor unit added.';
