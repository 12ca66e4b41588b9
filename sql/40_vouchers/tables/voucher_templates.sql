create table public.voucher_templates (
  id               text    collate "C" primary key,
  service_type     text    not null,
  title            text    not null,
  default_duration integer not null,
  default_terms    jsonb   not null default '{}',

  constraint default_duration_is_at_most_a_year check (default_duration between 1 and 525600),
  constraint template_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint service_type_and_title_have_at_most_4_kib
    check (octet_length(service_type) <= 4096 and octet_length(title) <= 4096),
  constraint default_terms_are_an_object check (jsonb_typeof(default_terms) = 'object'),
  constraint default_terms_are_reasonable_json check (private.check_json(default_terms))
);

comment on table public.voucher_templates is 'The portal''s voucher templates for different branches.';
comment on column public.voucher_templates.default_duration is 'In minutes.';
comment on column public.voucher_templates.default_terms is
  'Initial terms of a voucher; terms.template holds the id of the template, which joins the two.';

alter table public.voucher_templates enable row level security;

grant select on public.voucher_templates to service_role, authenticated, anon;

create policy "everybody sees the templates"
  on public.voucher_templates
  for select
  to anon, authenticated
  using (true);

create policy "requests are valid"
  on public.voucher_templates
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

insert into public.voucher_templates (id, service_type, title, default_duration, default_terms)
values
  ('consulting', 'consulting.session', 'Beratungsgespräch', 60, '{"template": "consulting"}'),
  ('therapy', 'therapy.session', 'Therapiesitzung', 50, '{"template": "therapy"}'),
  ('viewing', 'realestate.viewing', 'Immobilienbesichtigung', 30, '{"template": "viewing"}'),
  ('machine', 'machine.rental', 'Maschinenstunde', 120, '{"template": "machine"}'),
  ('membership', 'membership.access', 'Mitgliedschaft', 60, '{"template": "membership"}');
