-- The same rows in tables without our rules: no policies, triggers, checks, foreign keys and defaults; only the indexes
-- that the statements in routes.py need.
create schema bare;

create table bare.thinkers as table public.thinkers;
create table bare.presence_sessions with (fillfactor = 50) as table public.presence_sessions;
create table bare.vouchers as table public.vouchers;
create table bare.voucher_bookings as table public.voucher_bookings;
create table bare.fee_events as table public.fee_events;
create table bare.transfers as table public.transfers;
create table bare.events as table public.events;

alter table bare.thinkers add primary key (id), add unique (public_id);
alter table bare.presence_sessions add primary key (id), add unique (thinker_id);
alter table bare.vouchers add primary key (id);
alter table bare.voucher_bookings add primary key (id), add unique (voucher_id, slot_start);
alter table bare.fee_events add primary key (id);
alter table bare.transfers add primary key (id);
alter table bare.events add primary key (id);

create index on bare.presence_sessions (pair_code);
create index on bare.voucher_bookings (holder_id, created_at);
create index on bare.events (created_at);

vacuum analyze;
