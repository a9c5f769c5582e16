-- Ends a slice: out of flight, its jobs off the board, and what it really used charged in place of its estimate.
-- Safe to repeat: a slice that is not in flight changes nothing.
-- ARGV     slice, used seconds (empty: not known, the estimate stands)
-- returns  1 when the slice was in flight, else 0
local record = key('slice', ARGV[1])
local facts = call('HMGET', record, 'site', 'band', 'seconds', 'jobs')
local site, band = facts[1], facts[2]
if not site then return 0 end

call('DEL', record)
call('ZREM', key('flight'), ARGV[1])
local ended = 0
for id in string.gmatch(facts[4], '%S+') do
  local job = entry(id)
  if job and job.slice == ARGV[1] then call('HDEL', key('jobs'), id) end
  ended = ended + 1
end
call('HINCRBY', key('site', site), 'running', -ended)
call('HINCRBY', key('lanes'), 'flying:' .. band, -ended)
if ARGV[2] ~= '' then
  local weight = call('HGET', key('site', site), 'weight') or 1
  local tag = call('HGET', key('site', site), 'tag:' .. band) or 0
  call('HSET', key('site', site), 'tag:' .. band, exact(tag + (ARGV[2] - facts[3]) / weight))
end
refresh(site)
ring()
return 1
