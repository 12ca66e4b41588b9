-- A leading comment; with a semicolon
create table "semi;colon" (
  id integer primary key, -- a trailing; comment
  "quo""ted;name" text default 'it''s; fine' /* block ; /* nested ; */ still ; */
);

create function dollar() returns text language plpgsql as $$
begin
  -- inside; a body
  return 'a;b' || $tag$c;d$ e;$tag$;
end;
$$;

create function tagged() returns text language sql as $body$ select $$x;y$$::text; $body$;;

create function atomic_body(a integer, b integer) returns integer language sql
begin atomic
  select 1; -- end; of nothing
  select case when a > b then a else b end;
end;

create function atomic_end() returns integer language sql begin
  atomic select 2; /* end */ END  ;
;
comment on function atomic_body(integer, integer) is E'back\\slash \' quote; \n newline';
comment on function dollar() is 'standard \';
comment on function tagged() is U&'d\0061t\+000061; ä € 😀';
do $do$ begin perform 1; end $do$;
create rule two as on update to "semi;colon" do also (notify x; notify y);
create view  "ünï;cödé" as select '😀;' as "spalte;ä", a$b$c from (select 1 as a$b$c) as x;
prepare p as select $1::int + $2::int;
select 1 as trailing /* no semicolon at the end; */
-- the last comment;
