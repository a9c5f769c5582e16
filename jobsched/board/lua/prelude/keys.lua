-- The keys of the board. Loaded in front of each script.
-- KEYS[1]  the prefix of every key of the board; the other keys are derived from it, so a board lives on one Redis.
--
-- rules             hash    epoch, policy, chosen (1: at run time), the formula's numbers, paused:<band>, crew:<band>
--                           (workers that listen); without an epoch the board is lost
-- lane:<band>       zset    sites that may be served, by score
-- line:<site>:<band> zset   the site's waiting jobs (see on_line), by line score
-- tags:<site>:<band> hash   user -> finish tag within the line; v -> start tag of the job last taken
-- site:<site>       hash    capacity, weight, max_running, rate, burst, paused: its facts; tat (see take.lua);
--                           tiers (sum), running, held (it waits, and may not be served), tag:<band> (start tag),
--                           joined:<band> (virtual time at which the tag was last raised to it),
--                           work:<band> (estimates of its line, in microseconds), held_work:<band> (of these what
--                           counts as held in the lane), pace:<band> (see forecast/pace.lua)
-- tiers:<site>      hash    each user with jobs waiting here -> the tier weight that the user adds
-- user:<user>       hash    total -> the user's waiting jobs; <site> -> those at one site
-- jobs              hash    job -> "site user band execution_time attempt enqueued_at slice tag"; slice is - on a line
--                           and ? when it was set aside, tag is the start tag in its line
-- flight            zset    slices by the end of their lease
-- slice:<id>        hash    site, band, jobs, seconds (estimated), finish (the site's tag after it), taken (when),
--                           started
-- aside             hash    job that was set aside for lack of its task -> its pair, "band task"; asides: a set of all
--                           pairs; aside:<pair>: a zset of its jobs by their turn; turns:<pair>: site -> finish tag, v
-- points            zset    sites with waiting jobs, by points
-- due               zset    sites that their rate holds, by when it lets them go
-- lanes             hash    waiting:<band>, flying:<band>: counts of jobs; v:<band>: virtual time;
--                           work:<band> (estimates of what waits, in microseconds), held_work:<band> (of these
--                           those of held sites)
-- load:<band>       hash    what came and what was done lately (see load.lua)
-- asked, aims               what is expected of some waiting jobs, and how it turned out (see forecast/told.lua)
-- inactive          set     users who do not count in points
-- slices, doorbell          the number of the last slice; a list that dispatchers sleep on
local call = redis.call

local function key(name, first, second)
  if second then return KEYS[1] .. name .. ':' .. first .. ':' .. second end
  return first and KEYS[1] .. name .. ':' .. first or KEYS[1] .. name
end

