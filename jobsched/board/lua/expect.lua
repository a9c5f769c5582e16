-- When a waiting job is expected to start. Loaded in front of the scripts that ask, and of the one that sees it start.
--
-- The work that goes first, over the workers of the lane, is a raw guess: it knows nothing of what is still to come, of
-- workers that help other lanes, of what a slice costs. How far such guesses were off lately is learnt: some jobs are
-- asked about when they are placed, and when one starts, the multipliers of its kind of guess move by a step, up when
-- it started later than told, down when sooner, in a proportion that leaves the quantile where it belongs (stochastic
-- approximation of a quantile: Robbins, Monro, 1951; for predictions: Gibbs, Candes, "Adaptive Conformal Inference
-- Under Distribution Shift", 2021).
--
-- asked   hash  job -> "at raw kind"
-- aims    hash  <kind>:50, <kind>:90 (logarithms of the multipliers), <kind>:n (starts seen); a kind is a band, or
--               <band>:<half decade of the raw guess>
local QUANTILES = {['50'] = 0.5, ['90'] = 0.9}
local FIRST_AIMS = {['50'] = 0, ['90'] = math.log(3)}
local LEAST_STEP = 0.1   -- of a logarithm
local RIVALS = 16        -- sites of the lane that are looked at; of more, so many in equal distances
local LEAST_RAW_S = 0.01
local MOST_ASKED, ASK_ONE_IN = 10000, 4

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

local function line_of(id, job)  -- what stands before a job in its own line, and in all, in jobs and in seconds
  local line = key('line', job.site, job.band)
  local before, length = call('ZRANK', line, on_line(id)), call('ZCARD', line)
  local work = (call('HGET', key('site', job.site), 'work:' .. job.band) or 0) / 1e6
  return {before = before, own = work * before / length, work = work}
end

local function goes_first(site, score_there, job, ours)  -- seconds of a rival's work that go before a job
  local work = (call('HGET', key('site', site), 'work:' .. job.band) or 0) / 1e6
  if tonumber(rules.share) > 0 then  -- it is served until its score is below what ours will be when it is the job's turn
    local weight = call('HGET', key('site', site), 'weight') or 1
    return math.min(work, math.max(0, (score_there - ours.score) * weight / rules.share))
  end
  local points = call('ZSCORE', key('points'), site) or 0
  local boost = rules[job.band .. ':boost'] * math.min(points, rules.points_cap)
  local line = key('line', site, job.band)
  return work * call('ZCOUNT', line, '-inf', exact(boost - ours.score)) / math.max(1, call('ZCARD', line))
end

local function score_in_turn(id, job, own)  -- the site's score when all that stands before the job has been served
  local points = tonumber(call('ZSCORE', key('points'), job.site) or 0)
  if tonumber(rules.share) > 0 then
    local weight = call('HGET', key('site', job.site), 'weight') or 1
    return score(job.site, job.band, points) - rules.share * own / weight
  end
  return rules[job.band .. ':boost'] * math.min(points, rules.points_cap) - line_score(job)
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

local function guess(id, job, now)  -- the raw seconds until a waiting job starts; nil when nothing would start it
  local crew = tonumber(rules['crew:' .. job.band] or 1)
  if crew == 0 or rules['paused:' .. job.band] or holds(job.site) == 'paused' then return nil end
  local lanes = call('HMGET', key('lanes'), 'waiting:' .. job.band, 'flying:' .. job.band, 'work:' .. job.band)
  local all = (lanes[3] or 0) / 1e6
  local line = line_of(id, job)
  local ours, others = {score = score_in_turn(id, job, line.own)}, 0
  local some, each = rivals(job.band)
  for i = 1, #some, 2 do
    if some[i] ~= job.site then others = others + each * goes_first(some[i], some[i + 1], job, ours) end
  end
  others = math.min(others, math.max(0, all - line.work))
  local flying = (lanes[2] or 0) * all / math.max(1, lanes[1] or 1)
  return math.max(LEAST_RAW_S, held_for(job, line, crew, now), (line.own + others + flying) / crew)
end

local function kind_of(band, raw)
  return band .. ':' .. math.floor(2 * math.log10(raw))
end

local function aim(kind, band, quantile)  -- what a raw guess of this kind is multiplied by
  local logs = call('HMGET', key('aims'), kind .. ':' .. quantile, band .. ':' .. quantile)
  return math.exp(logs[1] or logs[2] or FIRST_AIMS[quantile])
end

local function expected(band, raw)  -- the seconds within which half of such jobs start, and nine of ten
  local kind = kind_of(band, raw)
  local half = raw * aim(kind, band, '50')
  return half, math.max(half, raw * aim(kind, band, '90'))
end

local function ask(id, now)  -- remember what a job that was just placed would be told, for some
  if tonumber(id) % ASK_ONE_IN ~= 0 or call('HLEN', key('asked')) >= MOST_ASKED then return end
  local job = entry(id)
  local raw = guess(id, job, now)
  if raw then call('HSET', key('asked'), id, exact(now) .. ' ' .. exact(raw) .. ' ' .. kind_of(job.band, raw)) end
end

local function learn(kind, band, raw, waited)
  local seen = call('HINCRBY', key('aims'), kind .. ':n', 1)
  local step = math.max(LEAST_STEP, 1 / math.sqrt(seen))
  for name, quantile in pairs(QUANTILES) do
    local field = kind .. ':' .. name
    local log = call('HGET', key('aims'), field) or call('HGET', key('aims'), band .. ':' .. name) or FIRST_AIMS[name]
    local late = waited > raw * math.exp(log)
    call('HSET', key('aims'), field, exact(log + step * (quantile - (late and 0 or 1))))
  end
end

local function started(ids, now)  -- jobs of a slice begin to run, one after the other
  local told = call('HMGET', key('asked'), unpack(ids))
  local offset = 0
  for i, id in ipairs(ids) do
    if told[i] then
      local at, raw, kind = string.match(told[i], '^(%S+) (%S+) (%S+)$')
      local band = string.match(kind, '^[^:]+')
      learn(kind, band, tonumber(raw), now + offset - at)
      learn(band, band, tonumber(raw), now + offset - at)
      call('HDEL', key('asked'), id)
    end
    local job = entry(id)
    offset = offset + (job and job.seconds or 0)
  end
end
