-- What is told of a raw guess: multiplied by how far such guesses were off, as learn.lua has learnt it. Loaded where
-- guess.lua is. What is kept:
-- asked      hash  job -> "at raw kind", with " late" once it has waited for longer than its p90
-- asked:due  zset  those that may still come in time, by when they would be late
-- aims       hash  <kind>:50, <kind>:90 (logarithms of the multipliers), <kind>:n:50, <kind>:n:90 (steps made); a kind
--                  is a band, <band>:<half decade of the raw guess>, <band>:queued, or <band>:queued:<half decade of
--                  the time that its slice has been in a worker's queue>; <band>:asked:<how> (when last); and what
--                  pace.lua keeps there
local function level_of(seconds)  -- its half decade
  return math.floor(NUMBERS.kinds_a_decade * math.log10(seconds))
end

local function kind_of(band, raw)
  return band .. ':' .. level_of(raw)
end

local function queued_kind(band, elapsed)
  return band .. ':queued:' .. level_of(math.max(elapsed, NUMBERS.moment_s))
end

local function aim(kind, parent, quantile, raw)  -- what a raw guess of this kind is multiplied by
  local logs = call('HMGET', key('aims'), kind .. ':' .. quantile, parent .. ':' .. quantile)
  if logs[1] then return math.exp(logs[1]) end
  local first = math.max(NUMBERS.first_aims[quantile], NUMBERS.first_least_s[quantile] / raw)
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

