-- How far guesses were off. Loaded in front of the script that sees jobs start.
--
-- When a job that was asked about starts, the multipliers of its kind of guess move by a step, up when it started later
-- than told, down when sooner, in a proportion that leaves the quantile where it belongs (stochastic approximation of a
-- quantile: Robbins, Monro, 1951; for predictions: Gibbs, Candes, "Adaptive Conformal Inference Under Distribution
-- Shift", 2021). One that is late is learnt from while it waits on: else the quick ones would be heard first.
local function is_late(kind, parent, name, raw, waited)
  return waited > raw * aim(kind, parent, name, raw)
end

local function aimed_at(kind, name)
  return name == '90' and string.find(kind, ':queued', 1, true) and NUMBERS.queued_90 or NUMBERS.quantiles[name]
end

local function step(kind, parent, name, raw, late)  -- move a multiplier up or down
  local seen = call('HINCRBY', key('aims'), kind .. ':n:' .. name, 1)
  local size = math.max(NUMBERS.least_step, NUMBERS.first_step / math.sqrt(seen))
  local log = math.log(aim(kind, parent, name, raw)) + size * (aimed_at(kind, name) - (late and 0 or 1))
  call('HSET', key('aims'), kind .. ':' .. name, exact(log))
end

local function learn(kind, parent, raw, waited, known_late)
  for name in pairs(NUMBERS.quantiles) do
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
  for _, id in ipairs(call('ZRANGEBYSCORE', key('asked', 'due'), '-inf', exact(now), 'LIMIT', 0, NUMBERS.most_late)) do
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

