"""What a Supabase project has and a plain PostgreSQL lacks, as the migrations of its services make it."""

USERS = """
create table auth.users (id uuid primary key, email text, is_anonymous boolean not null default false)
"""

STORAGE = """
create schema storage;
grant usage on schema storage to anon, authenticated, service_role;
alter default privileges in schema storage grant all on tables to anon, authenticated, service_role;
create table storage.buckets (id text primary key, name text not null unique, public boolean default false);
create table storage.objects (
  id uuid primary key default gen_random_uuid(), bucket_id text references storage.buckets, name text, owner uuid,
  metadata jsonb, unique (bucket_id, name)
);
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security
"""
