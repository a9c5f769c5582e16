-- A site's points and places in its lanes. Loaded in front of each script.
--
-- What changes a site's points, lines, limits or tags says touch(site). When the script ends (last.lua) the site is
-- ranked anew; a script that needs it sooner, to pop from a lane or to count what changed, calls rank_touched itself.
local touched = {}

local function touch(site)
  touched[site] = true
end

local function rank(set, site, score)  -- puts the site into a set, or takes it out (nil); returns 1 when that is new
  if score then return call('ZADD', set, 'CH', exact(score), site) end
  return call('ZREM', set, site)
end

local function rank_site(site)  -- its points, and its place in each lane; returns how many changed
  local paused, max_running, running, rate, held_before, capacity, tiers = unpack(call(
    'HMGET', key('site', site), 'paused', 'max_running', 'running', 'rate', 'held', 'capacity', 'tiers'))
  local points, lengths, any = (capacity or 1) + (tiers or 0), {}, false
  for i, band in ipairs(bands) do
    lengths[i] = call('ZCARD', key('line', site, band))
    points = points + lengths[i] * rules[band .. ':points']
    any = any or lengths[i] > 0
  end
  local changed = rank(key('points'), site, any and points)
  local held = any and holds(site, {paused, max_running, running, rate})
  set_held(site, lengths, held_before, held)
  if held or held_before then count_held(site, held) end
  for i, band in ipairs(bands) do
    changed = changed + rank(key('lane', band), site, lengths[i] > 0 and not held and score(site, band, points))
  end
  return changed
end

local function rank_touched()  -- returns how many numbers changed
  local changed = 0
  for site in pairs(touched) do changed = changed + rank_site(site) end
  touched = {}
  return changed
end

