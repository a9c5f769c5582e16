-- Why a job waits, and when it is expected to start. O(log n), and changes nothing.
-- ARGV     job, now (empty: Redis's clock)
-- returns  field, value, ... as text; nothing for a job that is not on the board. Of one in flight: slice, started. Of
--          one that was set aside: aside.
--          Of one that waits: site, band; place and length of its line; site_place (0: held) and sites of its lane;
--          policy, points; boost, share, age, size (they add up to the site's score), virtual and ages (what of share
--          and age all sites have alike); paused, running, max_running, due (when its rate lets the site go),
--          lane_paused, flying (jobs of the lane that workers have), crew. Of both, unless nothing would start it:
--          half, most (seconds within which half, and nine of ten such jobs start)
local id, now = ARGV[1], clock(ARGV[2])
local job = entry(id)
if not job or not known(id, job) then return {} end

local told = {}
local function tell(name, value)
  told[#told + 1], told[#told + 2] = name, type(value) == 'number' and exact(value) or tostring(value)
end

local function tell_expected(half, most)
  tell('half', half)
  tell('most', most)
end

local function before_in_slice(id, ids)  -- the seconds of those that run before it; a slice has a hundred jobs at most
  local seconds = 0
  for other in string.gmatch(ids, '%S+') do
    if other == id then break end
    local job = entry(other)
    seconds = seconds + (job and job.seconds or 0)
  end
  return seconds
end

tell('site', job.site)
tell('band', job.band)
if job.slice == ASIDE then
  tell('aside', 1)
  return told
end
if job.slice ~= '-' then
  local record = call('HMGET', key('slice', job.slice), 'started', 'taken', 'jobs')
  tell('slice', job.slice)
  tell('started', record[1] or 0)
  if record[2] and not record[1] then
    local half, most = expected_of_queued(job.band, now - record[2])
    local before = before_in_slice(id, record[3])
    tell_expected(half + before, most + before)
  end
  return told
end

local line, lane = key('line', job.site, job.band), key('lane', job.band)
local before = call('ZRANK', line, on_line(id))
tell('place', before + 1)
tell('length', call('ZCARD', line))
tell('site_place', (call('ZREVRANK', lane, job.site) or -1) + 1)
tell('sites', call('ZCARD', lane))

local facts = call('HMGET', key('site', job.site), 'running', 'max_running', 'paused', 'tag:' .. job.band)
local lanes = call('HMGET', key('lanes'), 'v:' .. job.band, 'flying:' .. job.band)
local points = tonumber(call('ZSCORE', key('points'), job.site) or 0)
local head = entry(first(line)) or job
tell('policy', rules.policy)
tell('points', points)
tell('boost', rules[job.band .. ':boost'] * math.min(points, rules.points_cap))
tell('share', -rules.share * (facts[4] or 0))
tell('age', -rules.age * head.enqueued_at)
tell('size', -rules.size * head.seconds)
tell('virtual', -rules.share * (lanes[1] or 0))
tell('ages', -rules.age * now)

tell('running', facts[1] or 0)
tell('max_running', facts[2] or '')
tell('paused', facts[3] or 0)
tell('due', call('ZSCORE', key('due'), job.site) or '')
tell('lane_paused', rules['paused:' .. job.band] or 0)
tell('flying', lanes[2] or 0)
tell('crew', rules['crew:' .. job.band] or '')

local raw = guess(job, before, now)
if raw then tell_expected(expected_of_waiting(job.band, raw)) end
return told
