-- Thinkers who were seen in the last minute and did not say goodbye.
select online
from stats.presence_now;
