-- How fast what waits is done. Loaded in front of the scripts that tell it, and of those that see slices start and end.
--
-- A pace is how much estimated work was ended a second while more was waiting: "at work time" (see advance). Not how
-- much was started: the first slices that idle workers take start all at once. A lane's is counted against its free
-- crew, so that it follows at once when workers come or go. Kept are, in aims, <band>:pace and <band>:slice (its usual
-- estimate), and in a waiting site's hash its own pace, pace:<band>.
local function slice_s(band)  -- how long a slice of the lane takes, about
  return tonumber(call('HGET', key('aims'), band .. ':slice') or NUMBERS.first_slice_s)
end

local function pace(packed, band, expected)
  local _, work, time = string.match(packed or '', '^(%S+) (%S+) (%S+)$')
  local prior_s = math.max(NUMBERS.prior_s, NUMBERS.prior_slices * slice_s(band))
  return ((work or 0) + prior_s * expected) / ((time or 0) + prior_s)
end

local function keeps_busy(lane, crew)  -- how many of so many workers a longer lane keeps busy, and whether more waits
  local theirs = math.min(crew, tonumber(rules['crew:' .. lane] or 0))
  if call('ZCARD', key('lane', lane)) > 0 then return theirs, true end
  return math.min(theirs, tonumber(call('HGET', key('lanes'), 'flying:' .. lane) or 0)), false
end

local function free_crew(band)  -- the workers of a lane, less those that longer lanes keep busy
  local crew = tonumber(rules['crew:' .. band] or 1)
  local longer, busy, shared = false, 0, 1
  for _, other in ipairs(bands) do
    if longer then
      local theirs, waits = keeps_busy(other, crew)
      busy = math.max(busy, theirs)
      if waits and theirs == crew then shared = shared + 1 end  -- it is their own lane as well
    end
    longer = longer or other == band
  end
  return math.max(crew - busy, crew / (1 + shared))
end

local function advance(packed, now, work, waits, workers)  -- so much work has ended; the clock runs on while more waits
  local at, old_work, old_time = string.match(packed or '', '^(%S+) (%S+) (%S+)$')
  local runs = at and at ~= '-'  -- what ends after nothing waited says nothing of how fast what waits is done
  local gap = runs and math.max(0, now - at) or 0
  local fade = math.exp(-gap / NUMBERS.pace_lately_s)
  return table.concat({waits and exact(now) or '-', exact((old_work or 0) * fade + (runs and work or 0)),
                       exact((old_time or 0) * fade + gap * workers)}, ' ')
end

