-- Why a job waits, and when it is expected to start. O(log n), and changes nothing.
-- ARGV     job, now (empty: Redis's clock)
-- returns  field, value, ... as text; nothing for a job that is not on the board. Of one in flight: slice, started.
--          Of one that waits: site, band; place and length of its line; site_place (0: held) and sites of its lane;
--          boost, share, age, size (they add up to the site's score); hold (paused, max_running, rate), running,
--          max_running, due (when its rate lets the site go), lane_paused, crew, tag, points; raw, half, most (seconds
--          until its start: a guess, and within which half and nine of ten such jobs start)
local id, now = ARGV[1], clock(ARGV[2])
local job = entry(id)
if not job or not known(id, job) then return {} end

local told = {}
local function tell(name, value)
  told[#told + 1], told[#told + 2] = name, type(value) == 'number' and exact(value) or tostring(value)
end

tell('site', job.site)
tell('band', job.band)
if job.slice ~= '-' then
  tell('slice', job.slice)
  tell('started', call('HGET', key('slice', job.slice), 'started') or 0)
  return told
end

local line = key('line', job.site, job.band)
local lane = key('lane', job.band)
local facts = call('HMGET', key('site', job.site), 'running', 'max_running', 'tag:' .. job.band)
local points = tonumber(call('ZSCORE', key('points'), job.site) or 0)
local head = entry(first(line)) or job
tell('place', call('ZRANK', line, on_line(id)) + 1)
tell('length', call('ZCARD', line))
tell('site_place', (call('ZREVRANK', lane, job.site) or -1) + 1)
tell('sites', call('ZCARD', lane))
tell('points', points)
tell('boost', rules[job.band .. ':boost'] * math.min(points, rules.points_cap))
tell('share', -rules.share * (facts[3] or 0))
tell('age', -rules.age * head.enqueued_at)
tell('size', -rules.size * head.seconds)
tell('hold', holds(job.site) or '')
tell('running', facts[1] or 0)
tell('max_running', facts[2] or '')
tell('due', call('ZSCORE', key('due'), job.site) or '')
tell('lane_paused', rules['paused:' .. job.band] or 0)
tell('crew', rules['crew:' .. job.band] or '')
local raw = guess(id, job, now)
if raw then
  local half, most = expected(job.band, raw)
  tell('raw', raw)
  tell('half', half)
  tell('most', most)
end
return told
