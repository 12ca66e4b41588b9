-- The most frequent pair codes, and how many of their thinkers are online now.
select pair_code, sessions, online
from stats.pair_codes
order by sessions desc, pair_code
limit 20;
