create table private.named_templates (
  voucher_id  text collate "C" primary key references public.vouchers (id) on delete cascade on update cascade,
  template_id text collate "C" not null,

  constraint template_id_has_1_to_255_characters check (char_length(template_id) between 1 and 255)
);

comment on table private.named_templates is
  'The template that the terms of a voucher name, known or not: figures need it for each day, and would read the terms '
  'each time, which may have 64 KiB. Written by the trigger tg_vouchers__name_template.';

alter table private.named_templates enable row level security;
