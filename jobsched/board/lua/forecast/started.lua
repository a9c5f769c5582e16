-- Learns from a slice that a worker has begun with, and asks about another job that waits. Listens to what is started.
local function ask_waiting(band, now)  -- any job that waits in a lane: any site, any place in its line
  if not may_ask('waiting', band, now) then return end
  local lane = key('lane', band)
  local place = math.floor(some(now) * call('ZCARD', lane))
  local site = call('ZRANGE', lane, place, place)[1]
  if not site then return end
  local line = key('line', site, band)
  place = math.floor(some(now, 104729) * call('ZCARD', line))
  local member = call('ZRANGE', line, place, place)[1]
  if member then ask(string.sub(member, 2), now, now, NUMBERS.again_s) end
end

local function learn_of_queue(band, waited, now)  -- what a job in a worker's queue had still to wait, at some moments
  if not may_ask('queued', band, now) then return end
  local parent = band .. ':queued'
  local from, each = level_of(NUMBERS.moment_s), NUMBERS.kinds_a_decade
  for level = from, from + NUMBERS.queued_kinds - 1 do
    local low, high = 10 ^ (level / each), 10 ^ ((level + 1) / each)
    local elapsed = low + (high - low) * some(now)
    if waited < low then break end
    if waited > elapsed then
      learn(queued_kind(band, elapsed), parent, slice_s(band), waited - elapsed)
      if level == from then learn(parent, parent, slice_s(band), waited - elapsed) end
    end
  end
end

local function begin_paces(site, band, seconds, now)  -- a slice has started; of paces, what has ended tells
  local aims, field = key('aims'), 'pace:' .. band
  local usual = call('HGET', aims, band .. ':slice') or seconds
  call('HSET', aims, band .. ':slice', exact(usual + (seconds - usual) / NUMBERS.usual))
  local packed = call('HGET', aims, band .. ':pace')
  if (not packed or string.sub(packed, 1, 1) == '-') and call('ZCARD', key('lane', band)) > 0 then
    call('HSET', aims, band .. ':pace', advance(packed, now, 0, true, 1))
  end
  if call('EXISTS', key('line', site, band)) == 1 and call('HEXISTS', key('site', site), field) == 0 then
    call('HSET', key('site', site), field, advance(nil, now, 0, true, 1))
  end
end

function listeners.started(slice)
  if call('EXISTS', key('asked')) == 1 then learn_waits(slice.ids, slice.taken, slice.now) end
  if slice.taken then learn_of_queue(slice.band, slice.now - slice.taken, slice.now) end
  begin_paces(slice.site, slice.band, slice.seconds, slice.now)
  ask_waiting(slice.band, slice.now)
  learn_of_late(slice.now)
end

