-- Renews the lease of a slice. The first time that a worker has started it, rings the doorbell, for its place in the RQ
-- queue is free again.
-- ARGV     slice, lease in seconds, now (empty: Redis's clock), 1 when a worker has started it
-- returns  1, or 0 when the slice is not in flight any more
local record, now = key('slice', ARGV[1]), clock(ARGV[3])
if call('EXISTS', record) == 0 then return 0 end
call('ZADD', key('flight'), 'XX', exact(now + ARGV[2]), ARGV[1])
if ARGV[4] == '1' and call('HSETNX', record, 'started', 1) == 1 then
  local site, band, jobs, seconds, taken = unpack(call('HMGET', record, 'site', 'band', 'jobs', 'seconds', 'taken'))
  local ids = {}
  for id in string.gmatch(jobs, '%S+') do ids[#ids + 1] = id end
  emit('started', {site = site, band = band, ids = ids, seconds = seconds, taken = taken or nil, now = now})
  ring()
end
return 1
