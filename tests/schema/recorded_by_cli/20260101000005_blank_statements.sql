;;
 ; ;
select 1;;;
