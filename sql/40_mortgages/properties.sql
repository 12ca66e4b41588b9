create table public.properties (
  id      text  primary key,
  address text,
  meta    jsonb not null default '{}',

  constraint property_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint meta_is_reasonable_json check (private.check_json(meta))
);

comment on table public.properties is 'What a mortgage is for (specification, 1.4). An application names it first; the address may follow.';

alter table public.properties enable row level security;
