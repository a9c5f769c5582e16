-- A lane's virtual time says how much its sites have had. Where the score goes by tags, it follows these; elsewhere the
-- sites do not progress together, so it is what they would have had if all who wait had been served evenly. Loaded in
-- front of each script.
local function evenly(band, seconds)  -- what is each site's part, the one that has just been taken out included
  return seconds / (1 + call('ZCARD', key('lane', band)))
end

local function join(site, band)  -- a site that was idle, or held, goes on from the lane's virtual time
  local tag = call('HGET', key('site', site), 'tag:' .. band) or 0
  local v = call('HGET', key('lanes'), 'v:' .. band) or 0
  if tonumber(v) > tonumber(tag) then call('HSET', key('site', site), 'tag:' .. band, v, 'joined:' .. band, v) end
end

