-- The raw guess of when a waiting job starts: the work that goes first, over the pace at which such work was done
-- lately. It knows nothing of what is still to come, and of how evenly slices follow each other. Loaded in front of the
-- scripts that tell when jobs start, and of those that see how that turns out.
local function rivals(band)  -- some sites of the lane with their scores, and how many each stands for
  local lane = key('lane', band)
  local sites = call('ZCARD', lane)
  if sites <= NUMBERS.rivals then return call('ZREVRANGE', lane, 0, -1, 'WITHSCORES'), 1 end
  local some = {}
  for i = 0, NUMBERS.rivals - 1 do
    local place = math.floor((i + 0.5) * sites / NUMBERS.rivals)
    local one = call('ZREVRANGE', lane, place, place, 'WITHSCORES')
    some[#some + 1], some[#some + 2] = one[1], one[2]
  end
  return some, sites / NUMBERS.rivals
end

local function line_of(job, before)  -- what stands before a job in its own line, and in all, in jobs and in seconds
  local length = call('ZCARD', key('line', job.site, job.band))
  local work = (call('HGET', key('site', job.site), 'work:' .. job.band) or 0) / 1e6
  return {before = before, length = length, own = work * before / math.max(1, length), work = work}
end

local function goes_first(site, score_there, job, ours)  -- seconds of a rival's work that go before a job
  local work = (call('HGET', key('site', site), 'work:' .. job.band) or 0) / 1e6
  if goes_by_share then  -- it is served until its score is below what ours will be at the job's turn
    local weight = call('HGET', key('site', site), 'weight') or 1
    return math.min(work, math.max(0, (score_there - ours) * weight / rules.share))
  end
  local boost = terms(job.band, call('ZSCORE', key('points'), site) or 0, 0)  -- all its jobs have it alike
  local line = key('line', site, job.band)
  return work * call('ZCOUNT', line, '-inf', exact(boost - ours)) / math.max(1, call('ZCARD', line))
end

local function score_in_turn(job, line)  -- the site's score when all that stands before the job has been served
  local points = tonumber(call('ZSCORE', key('points'), job.site) or 0)
  local weight, tag = unpack(call('HMGET', key('site', job.site), 'weight', 'tag:' .. job.band))
  local joins_at = line.length == 0 and call('HGET', key('lanes'), 'v:' .. job.band) or 0
  return sum(terms(job.band, points, math.max(tag or 0, joins_at) + line.own / (weight or 1), job))
end

local function held_for(job, line, crew, now)  -- the least that the site's own limits make the job wait
  local facts = call('HMGET', key('site', job.site), 'max_running', 'rate')
  local least = 0
  if (facts[1] or '') ~= '' then least = line.own / math.max(1, math.min(facts[1], crew)) end
  if (facts[2] or '') ~= '' then
    local due = call('ZSCORE', key('due'), job.site) or now
    least = math.max(least, due - now + line.before / facts[2])
  end
  return least
end

local function work_before(job, line)  -- of all sites, as the board is now, in seconds
  local lanes = call('HMGET', key('lanes'), 'waiting:' .. job.band, 'flying:' .. job.band, 'work:' .. job.band)
  local all, others = (lanes[3] or 0) / 1e6, 0
  local ours = score_in_turn(job, line)
  local some, each = rivals(job.band)
  for i = 1, #some, 2 do
    if some[i] ~= job.site then others = others + each * goes_first(some[i], some[i + 1], job, ours) end
  end
  local flying = (lanes[2] or 0) * all / math.max(1, lanes[1] or 1)
  return line.own + math.min(others, math.max(0, all - line.work)) + flying
end

local function guess(job, before, now)  -- the raw seconds until the job behind so many of its line starts
  local crew = tonumber(rules['crew:' .. job.band] or 1)
  if crew == 0 or rules['paused:' .. job.band] or holds(job.site) == 'paused' then return nil end  -- nothing starts it
  local line = line_of(job, before)
  local speed = free_crew(job.band) * pace(call('HGET', key('aims'), job.band .. ':pace'), job.band, 1)
  local raw = math.max(NUMBERS.least_raw_s, work_before(job, line) / speed)
  local known = goes_by_share and call('HGET', key('site', job.site), 'pace:' .. job.band)
  if known then  -- what the site is served while others come and go
    local own = line.own + job.seconds
    raw = math.max(NUMBERS.least_raw_s, own / pace(known, job.band, own / raw))
  end
  return math.max(raw, held_for(job, line, crew, now))
end

