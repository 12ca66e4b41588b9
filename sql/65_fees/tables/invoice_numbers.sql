create table private.invoice_numbers (
  beneficiary_id uuid    references public.thinkers (id) on delete restrict,
  year           integer,
  last           bigint  not null,

  primary key (beneficiary_id, year),
  constraint numbers_begin_with_1 check (last >= 1)
);

comment on table private.invoice_numbers is
  'The last invoice number of each beneficiary and year. A row, not a sequence, because a transaction that is rolled '
  'back must give its number back.';

alter table private.invoice_numbers enable row level security;
