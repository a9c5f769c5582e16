-- What is counted of jobs: users' tiers, the work on lines, how many are with workers. Loaded in front of each script.
local function tier(pending)  -- the weight of the tier of a user with so many waiting jobs
  if pending == 0 then return 0 end
  for below, weight in string.gmatch(rules.tiers, '(%d+):(%d+)') do
    if pending < tonumber(below) then return tonumber(weight) end
  end
  return tonumber(rules.top_tier)
end

local function tier_of(user, pending)  -- the same, of one who may not count in points
  return pending > 0 and call('SISMEMBER', key('inactive'), user) == 0 and tier(pending) or 0
end

local function contribute(site, user, here, weight)  -- what the user adds to the site's points
  local tiers = key('tiers', site)
  local change = weight - (call('HGET', tiers, user) or 0)
  if here > 0 then call('HSET', tiers, user, weight) else call('HDEL', tiers, user) end
  if change ~= 0 then call('HINCRBY', key('site', site), 'tiers', change) end
  touch(site)
end

local function contribute_everywhere(user)
  local counts = call('HGETALL', key('user', user))
  local weight = tier_of(user, tonumber(call('HGET', key('user', user), 'total') or 0))
  for i = 1, #counts, 2 do
    if counts[i] ~= 'total' then contribute(counts[i], user, tonumber(counts[i + 1]), weight) end
  end
end

local function count(job, by)  -- one job more (1) or less (-1) on a line
  local site, user, band = job.site, job.user, job.band
  local counts = key('user', user)
  local here = call('HINCRBY', counts, site, by)
  local total = call('HINCRBY', counts, 'total', by)
  if here <= 0 then call('HDEL', counts, site) end
  if total <= 0 then call('DEL', counts) end
  -- A tier's border is crossed at no more than its own count of jobs, so at no more sites than that.
  -- The user's first and last job move no site but this.
  if total > 0 and total > by and tier(total) ~= tier(total - by) then
    contribute_everywhere(user)
  end
  contribute(site, user, here, here > 0 and tier_of(user, total) or 0)
  call('HINCRBY', key('lanes'), 'waiting:' .. band, by)
  local work = string.format('%d', by * micros(job.seconds))
  call('HINCRBY', key('lanes'), 'work:' .. band, work)
  if call('HINCRBY', key('site', site), 'work:' .. band, work) == 0 then
    call('HDEL', key('site', site), 'work:' .. band)
  end
end

local function count_flying(site, band, by)  -- so many more, or less, are with workers; false: not known
  call('HINCRBY', key('lanes'), 'flying:' .. band, by)
  if by <= 0 and call('EXISTS', key('site', site)) == 0 then return false end  -- it was forgotten, and stays so
  call('HINCRBY', key('site', site), 'running', by)
  if by > 0 or call('ZSCORE', key('points'), site) then touch(site) end  -- one that waits nowhere has no place
  return true
end

