-- When a job that is not on the board would be expected to start, if it were placed now. Changes nothing.
-- ARGV     site, band, execution_time, now (empty: Redis's clock)
-- returns  seconds as text: within which half, and nine of ten such jobs start; nothing when nothing would start it
local now = clock(ARGV[4])
if not rules[ARGV[2] .. ':points'] then return {} end  -- no such lane
local job = {site = ARGV[1], band = ARGV[2], seconds = ARGV[3], enqueued_at = exact(now), tag = 0}
local raw = guess(job, call('ZCARD', key('line', job.site, job.band)), now)
if not raw then return {} end
local half, most = expected_of_waiting(job.band, raw)
return {exact(half), exact(most)}
