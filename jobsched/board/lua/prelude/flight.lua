-- How a slice goes into flight: numbered, charged, with a lease. Loaded in front of the scripts that cut slices.
local function next_id(now)  -- never one twice, also where Redis restarted with old data: no counter outruns microseconds
  local last = call('GET', key('slices')) or 0
  if not (last + 1 > tonumber(last) and last + 0 < 2 ^ 53) then error('BOARDBROKEN slices is no number to count on') end
  local number = string.format('%.0f', math.max(last + 1, math.floor(now * 1e6)))
  call('SET', key('slices'), number)
  return rules.epoch .. '-' .. number
end

local function charge(site, band, seconds)  -- returns the site's finish tag
  local weight, tag = unpack(call('HMGET', key('site', site), 'weight', 'tag:' .. band))
  local v = tonumber(call('HGET', key('lanes'), 'v:' .. band) or 0)
  local finish = (tag or 0) + seconds / (weight or 1)
  if goes_by_share then
    v = math.max(tag or 0, v)
  else
    v = v + evenly(band, seconds)
    finish = v
  end
  call('HSET', key('lanes'), 'v:' .. band, exact(v))
  call('HSET', key('site', site), 'tag:' .. band, exact(finish))
  return exact(finish)
end

local function fly(slice, band, cut, lease, now)  -- cut: the site, the ids of its jobs, their seconds
  local site = cut.site
  call('HSET', key('slice', slice), 'site', site, 'band', band, 'jobs', table.concat(cut.ids, ' '),
       'seconds', exact(cut.seconds), 'finish', charge(site, band, cut.seconds), 'taken', exact(now))
  call('ZADD', key('flight'), exact(now + lease), slice)
  count_flying(site, band, #cut.ids)
end

