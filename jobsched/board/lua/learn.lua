-- How far guesses of expect.lua were off. Loaded in front of the scripts that ask, and of the one that sees jobs start.
--
-- Some jobs are asked about when they are placed, some while they wait. When one starts, the multipliers of its kind of
-- guess move by a step, up when it started later than told, down when sooner, in a proportion that leaves the quantile
-- where it belongs (stochastic approximation of a quantile: Robbins, Monro, 1951; for predictions: Gibbs, Candes,
-- "Adaptive Conformal Inference Under Distribution Shift", 2021). One that is late is learnt from while it waits on:
-- else the quick ones would be heard first.
local QUANTILES = {['50'] = 0.55, ['90'] = 0.93}  -- a little more than told: what is learnt comes late
local QUEUED_90 = 0.95   -- for those in a worker's queue: lanes take turns, so their waits come in clusters
local LEAST_STEP = 0.2   -- of a logarithm
local MOST_ASKED, ASK_EVERY_S = 10000, 0.005  -- in each lane
local AGAIN_S = 1        -- a job with less before it is asked only when placed: seen later, it is about to go
local LONG_S = 10        -- of those who wait longer, fewer are asked: all that are asked wait at once
local MOST_LATE = 4      -- that one call looks at

local function may_ask(what, band, now)  -- seldom enough not to cost much, however much comes
  local field = band .. ':asked:' .. what
  local last = call('HGET', key('aims'), field)
  if last and now - last < ASK_EVERY_S and now >= tonumber(last) then return false end
  call('HSET', key('aims'), field, exact(now))
  return true
end

local function some(now, salt)  -- any number from 0 to 1
  return now * (salt or 7919) % 1
end

local function ask(id, at, now, least)  -- remember what a job is told, unless it is soon
  local job = entry(id)
  local raw = guess(job, call('ZRANK', key('line', job.site, job.band), on_line(id)), now)
  if not raw or raw < least or some(now, 6151) > LONG_S / raw then return end
  if call('HLEN', key('asked')) >= MOST_ASKED then return end
  local kind = kind_of(job.band, raw)
  call('HSET', key('asked'), id, table.concat({exact(at), exact(raw), kind}, ' '))
  call('ZADD', key('asked', 'due'), exact(at + raw * aim(kind, job.band, '90', raw)), id)
end

local function ask_placed(id, band, now)
  if may_ask('placed', band, now) then ask(id, now + MOMENT_S, now, 0) end
end

local function ask_waiting(band, now)  -- any job that waits in a lane: any site, any place in its line
  if not may_ask('waiting', band, now) then return end
  local lane = key('lane', band)
  local place = math.floor(some(now) * call('ZCARD', lane))
  local site = call('ZRANGE', lane, place, place)[1]
  if not site then return end
  local line = key('line', site, band)
  place = math.floor(some(now, 104729) * call('ZCARD', line))
  local member = call('ZRANGE', line, place, place)[1]
  if member then ask(string.sub(member, 2), now, now, AGAIN_S) end
end

local function is_late(kind, parent, name, raw, waited)
  return waited > raw * aim(kind, parent, name, raw)
end

local function aimed_at(kind, name)
  return name == '90' and string.find(kind, ':queued', 1, true) and QUEUED_90 or QUANTILES[name]
end

local function step(kind, parent, name, raw, late)  -- move a multiplier up or down
  local seen = call('HINCRBY', key('aims'), kind .. ':n:' .. name, 1)
  local size = math.max(LEAST_STEP, 1.4 / math.sqrt(seen))
  local log = math.log(aim(kind, parent, name, raw)) + size * (aimed_at(kind, name) - (late and 0 or 1))
  call('HSET', key('aims'), kind .. ':' .. name, exact(log))
end

local function learn(kind, parent, raw, waited, known_late)
  for name in pairs(QUANTILES) do
    local late = is_late(kind, parent, name, raw, waited)
    if not (known_late and name == '90') then step(kind, parent, name, raw, late) end
  end
end

local function told_of(id)
  local at, raw, kind, late = string.match(call('HGET', key('asked'), id) or '', '^(%S+) (%S+) (%S+)( ?%S*)$')
  if not at then return nil end
  local band = string.match(kind, '^[^:]+')
  return {at = tonumber(at), raw = tonumber(raw), kind = kind, band = band, late = late ~= ''}
end

local function learn_of_late(now)  -- who has waited for longer than told is late, whenever it will start
  for _, id in ipairs(call('ZRANGEBYSCORE', key('asked', 'due'), '-inf', exact(now), 'LIMIT', 0, MOST_LATE)) do
    local told = told_of(id)
    call('ZREM', key('asked', 'due'), id)
    if told and is_late(told.kind, told.band, '90', told.raw, now - told.at) then
      step(told.kind, told.band, '90', told.raw, true)
      step(told.band, told.band, '90', told.raw, true)
      call('HSET', key('asked'), id, table.concat({exact(told.at), exact(told.raw), told.kind, 'late'}, ' '))
    elseif told then
      call('ZADD', key('asked', 'due'), exact(told.at + told.raw * aim(told.kind, told.band, '90', told.raw)), id)
    end
  end
end

local function learn_of_queue(band, waited, now)  -- what a job in a worker's queue had still to wait, at some moments
  if not may_ask('queued', band, now) then return end
  local parent = band .. ':queued'
  local from = math.floor(2 * math.log10(MOMENT_S))
  for level = from, from + 12 do
    local low, high = 10 ^ (level / 2), 10 ^ ((level + 1) / 2)
    local elapsed = low + (high - low) * some(now)
    if waited < low then break end
    if waited > elapsed then
      learn(queued_kind(band, elapsed), parent, slice_s(band), waited - elapsed)
      if level == from then learn(parent, parent, slice_s(band), waited - elapsed) end
    end
  end
end

local function learn_waits(ids, taken, now)  -- jobs of a slice begin to run, one after the other
  local offset = 0
  for i, id in ipairs(ids) do
    local told = told_of(id)
    if told and taken and tonumber(taken) >= told.at then
      learn(told.kind, told.band, told.raw, now + offset - told.at, told.late)
      learn(told.band, told.band, told.raw, now + offset - told.at, told.late)
    end
    forget_asked(id)
    local job = entry(id)
    offset = offset + (job and job.seconds or 0)
  end
end
