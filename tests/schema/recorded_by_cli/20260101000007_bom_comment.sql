-- hi
select 3;
-- after
