-- Why a job waits, and when it is expected to start. O(log n), and changes nothing.
-- ARGV     now (empty: Redis's clock), job; of one that is not on the board: now, empty, site, band, execution_time
-- returns  field, value, ... as text; nothing for a job that is not on the board. Of one in flight: site, band, slice,
--          started. Of one that was set aside: site, band, aside.
--          Of one that waits: site, band; place and length of its line; site_place (0: held) and sites of its lane;
--          policy, points; boost, share, age, size (they add up to the site's score), virtual and ages (what of share
--          and age all sites have alike); paused, running, max_running, due (when its rate lets the site go),
--          lane_paused, flying (jobs of the lane that workers have), crew.
--          Of all but those set aside, unless nothing would start it: half, most (seconds within which half, and nine of
--          ten such jobs start); of one that is not on the board, as if it were placed now, and nothing else
local now, id = clock(ARGV[1]), ARGV[2]

local function tell_expected(half, most)
  tell('half', half)
  tell('most', most)
end

local function tell_expected_behind(job, before)  -- so many of its line
  local raw = guess(job, before, now)
  if raw then tell_expected(expected_of_waiting(job.band, raw)) end
  return answer
end

local function seconds_before(id, ids)  -- of what runs before it in its slice, which has a hundred jobs at most
  local seconds = 0
  for other in string.gmatch(ids, '%S+') do
    if other == id then break end
    local job = entry(other)
    seconds = seconds + (job and job.seconds or 0)
  end
  return seconds
end

local function tell_flying(job)
  local started, taken, ids = unpack(call('HMGET', key('slice', job.slice), 'started', 'taken', 'jobs'))
  tell('slice', job.slice)
  tell('started', started or 0)
  if taken and not started then
    local half, most = expected_of_queued(job.band, now - taken)
    local before = seconds_before(id, ids)
    tell_expected(half + before, most + before)
  end
  return answer
end

if id == '' then
  local job = {site = ARGV[3], band = ARGV[4], seconds = ARGV[5], enqueued_at = exact(now), tag = 0}
  if not rules[job.band .. ':points'] then return answer end  -- no such lane
  return tell_expected_behind(job, call('ZCARD', key('line', job.site, job.band)))
end

local job = entry(id)
if not job or not known(id, job) then return answer end
tell('site', job.site)
tell('band', job.band)
if job.slice == ASIDE then
  tell('aside', 1)
  return answer
end
if job.slice ~= '-' then return tell_flying(job) end
local before = call('ZRANK', key('line', job.site, job.band), on_line(id))
tell_places(job, before)
tell_score(job, now)
tell_limits(job)
return tell_expected_behind(job, before)
