-- How many thinkers are online: seen in the last minute, and not signed off.
select online
from stats.presence_now;
