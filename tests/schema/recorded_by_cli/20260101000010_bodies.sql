create procedure nested() language sql begin atomic
  select case when true then (select 1) end; /* ; */ ; 
  select 'end;' as "end", 1 as endless;
  -- end
End;
create function f(a text default ';') returns text language sql return (a || ';');
create function g() returns int language sql as 'select 1; select 2;';
create table atomic (c int, begin_atomic int);;
select begin_atomic from atomic;
grant select on atomic to public
