select E'it''s; \\', 'x'/**/;
select 1 -- a comment -- in a comment;
  , 2;
/* a comment; of its own */
select U&"d\0061t;a" from (select 1) as t ("dat;a");
select $a$;$b$;$$;$a$, $ä$;$ä$
