select 'E''x'';', e'\';' , 'a'
  'b;'
;select 5 -- c;select 6;
/* c1 */ /* /*/ ; */*/ select 7
;select 1 where 'x' = 'E';select 8