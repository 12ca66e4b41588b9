create table bom (i integer);
select 2
