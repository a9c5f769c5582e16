-- When a waiting job is expected to start. Loaded in front of the scripts that tell it, and of learn.lua.
--
-- The work that goes first, over the pace at which such work was done lately, is a raw guess: it knows nothing of what
-- is still to come, and of how evenly slices follow each other. It is told multiplied by how far such guesses were off.
--
-- How a guess is told is learnt in learn.lua. What is kept of it:
-- asked      hash  job -> "at raw kind", with " late" once it has waited for longer than its p90
-- asked:due  zset  those that may still come in time, by when they would be late
-- aims       hash  <kind>:50, <kind>:90 (logarithms of the multipliers), <kind>:n:50, <kind>:n:90 (steps made); a kind
--                  is a band, <band>:<half decade of the raw guess>, <band>:queued, or <band>:queued:<half decade of
--                  the time that its slice has been in a worker's queue>; <band>:asked:<how> (when last); and what
--                  pace.lua keeps there
local FIRST_AIMS = {['50'] = 1, ['90'] = 2.5}         -- before anything is learnt: times the raw guess,
local FIRST_LEAST_S = {['50'] = 0.005, ['90'] = 0.02}  -- but at least so long
local RIVALS = 16        -- sites of the lane that are looked at; of more, so many in equal distances
local LEAST_RAW_S = 0.001
local MOMENT_S = 0.01    -- nobody asks about a job sooner after it was placed, and then it may be gone from its line

local function rivals(band)  -- some sites of the lane with their scores, and how many each stands for
  local lane = key('lane', band)
  local sites = call('ZCARD', lane)
  if sites <= RIVALS then return call('ZREVRANGE', lane, 0, -1, 'WITHSCORES'), 1 end
  local some = {}
  for i = 0, RIVALS - 1 do
    local place = math.floor((i + 0.5) * sites / RIVALS)
    local one = call('ZREVRANGE', lane, place, place, 'WITHSCORES')
    some[#some + 1], some[#some + 2] = one[1], one[2]
  end
  return some, sites / RIVALS
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
  local points = call('ZSCORE', key('points'), site) or 0
  local boost = rules[job.band .. ':boost'] * math.min(points, rules.points_cap)
  local line = key('line', site, job.band)
  return work * call('ZCOUNT', line, '-inf', exact(boost - ours)) / math.max(1, call('ZCARD', line))
end

local function score_in_turn(job, line)  -- the site's score when all that stands before the job has been served
  local points = tonumber(call('ZSCORE', key('points'), job.site) or 0)
  if not goes_by_share then
    return rules[job.band .. ':boost'] * math.min(points, rules.points_cap) - line_score(job)
  end
  local facts = call('HMGET', key('site', job.site), 'weight', 'tag:' .. job.band)
  local missed = line.length == 0 and (call('HGET', key('lanes'), 'v:' .. job.band) or 0) - (facts[2] or 0) or 0
  return score(job.site, job.band, points) - rules.share * (line.own / (facts[1] or 1) + math.max(0, missed))
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
  local raw = math.max(LEAST_RAW_S, work_before(job, line) / speed)
  local known = goes_by_share and call('HGET', key('site', job.site), 'pace:' .. job.band)
  if known then  -- what the site is served while others come and go
    local own = line.own + job.seconds
    raw = math.max(LEAST_RAW_S, own / pace(known, job.band, own / raw))
  end
  return math.max(raw, held_for(job, line, crew, now))
end

local function kind_of(band, raw)
  return band .. ':' .. math.floor(2 * math.log10(raw))
end

local function queued_kind(band, elapsed)
  return band .. ':queued:' .. math.floor(2 * math.log10(math.max(elapsed, MOMENT_S)))
end

local function aim(kind, parent, quantile, raw)  -- what a raw guess of this kind is multiplied by
  local logs = call('HMGET', key('aims'), kind .. ':' .. quantile, parent .. ':' .. quantile)
  if logs[1] then return math.exp(logs[1]) end
  local first = math.max(FIRST_AIMS[quantile], FIRST_LEAST_S[quantile] / raw)
  return logs[2] and math.max(first, math.exp(logs[2])) or first  -- other kinds can warn, but not reassure
end

local function expected(kind, parent, raw)  -- the seconds within which half of such jobs start, and nine of ten
  local half = raw * aim(kind, parent, '50', raw)
  return half, math.max(half, raw * aim(kind, parent, '90', raw))
end

local function expected_of_waiting(band, raw)
  return expected(kind_of(band, raw), band, raw)
end

local function expected_of_queued(band, elapsed)
  return expected(queued_kind(band, elapsed), band .. ':queued', slice_s(band))
end
