-- Where a waiting job and its site stand, by name. Loaded in front of why.lua.
local answer = {}

local function tell(name, value)
  answer[#answer + 1], answer[#answer + 2] = name, type(value) == 'number' and exact(value) or tostring(value)
end

local function tell_places(job, before)
  local lane = key('lane', job.band)
  tell('place', before + 1)
  tell('length', call('ZCARD', key('line', job.site, job.band)))
  tell('site_place', (call('ZREVRANK', lane, job.site) or -1) + 1)
  tell('sites', call('ZCARD', lane))
end

local function tell_score(job, now)
  local points = tonumber(call('ZSCORE', key('points'), job.site) or 0)
  local boost, share, age, size = terms_of(job.site, job.band, points)
  tell('policy', rules.policy)
  tell('points', points)
  tell('boost', boost)
  tell('share', share)
  tell('age', age)
  tell('size', size)
  tell('virtual', -rules.share * (call('HGET', key('lanes'), 'v:' .. job.band) or 0))
  tell('ages', -rules.age * now)
end

local function tell_limits(job)
  local running, max_running, paused = unpack(call(
    'HMGET', key('site', job.site), 'running', 'max_running', 'paused'))
  tell('running', running or 0)
  tell('max_running', max_running or '')
  tell('paused', paused or 0)
  tell('due', call('ZSCORE', key('due'), job.site) or '')
  tell('lane_paused', rules['paused:' .. job.band] or 0)
  tell('flying', call('HGET', key('lanes'), 'flying:' .. job.band) or 0)
  tell('crew', rules['crew:' .. job.band] or '')
end

