-- The most popular pair codes, and who is there now.
select pair_code, sessions, online
from stats.pair_codes
order by sessions desc, pair_code
limit 20;
