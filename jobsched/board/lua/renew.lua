-- Renews the lease of a slice. The first time that a worker has started it, rings the doorbell, for its place in the RQ
-- queue is free again, and learns how long its jobs have waited.
-- ARGV     slice, lease in seconds, now (empty: Redis's clock), 1 when a worker has started it
-- returns  1, or 0 when the slice is not in flight any more
local record, now = key('slice', ARGV[1]), clock(ARGV[3])
if call('EXISTS', record) == 0 then return 0 end
call('ZADD', key('flight'), 'XX', exact(now + ARGV[2]), ARGV[1])
if ARGV[4] == '1' and call('HSETNX', record, 'started', 1) == 1 then
  local facts, ids = call('HMGET', record, 'jobs', 'site', 'band', 'seconds', 'taken'), {}
  for id in string.gmatch(facts[1], '%S+') do ids[#ids + 1] = id end
  if call('EXISTS', key('asked')) == 1 then learn_waits(ids, facts[5], now) end
  if facts[5] then learn_of_queue(facts[3], now - facts[5], now) end
  begin_paces(facts[2], facts[3], facts[4], now)
  ask_waiting(facts[3], now)
  learn_of_late(now)
  ring()
end
return 1
