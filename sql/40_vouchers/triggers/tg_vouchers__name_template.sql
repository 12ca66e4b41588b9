create function private.tg_vouchers__name_template()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' then
    delete from private.named_templates n where n.voucher_id = new.id;
  end if;
  if char_length(new.terms ->> 'template') between 1 and 255 then
    insert into private.named_templates (voucher_id, template_id) values (new.id, new.terms ->> 'template');
  end if;
  return null;
end;
$$;

comment on function private.tg_vouchers__name_template is
  'Keeps the template that the terms of a voucher name (private.named_templates).';

create trigger tg_vouchers__name_template
  after insert or update of terms on public.vouchers
  for each row
  execute function private.tg_vouchers__name_template();
