create function private.tg_vouchers__name_template()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from private.named_templates n where n.voucher_id = new.id;
  insert into private.named_templates (voucher_id, template_id)
  select new.id, new.terms ->> 'template'
  where char_length(new.terms ->> 'template') between 1 and 255;
  return null;
end;
$$;

comment on function private.tg_vouchers__name_template is
  'Keeps the template that the terms of a voucher name (private.named_templates).';

create trigger tg_vouchers__name_template
  after insert or update of terms on public.vouchers
  for each row
  execute function private.tg_vouchers__name_template();
