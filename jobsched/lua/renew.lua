-- Renews the lease of a slice, and rings the doorbell the first time: its place in the RQ queue is free again.
-- ARGV     slice, lease in seconds, now (empty: Redis's clock), 1 when a worker has started it
-- returns  1, or 0 when the slice is not in flight any more
local record = key('slice', ARGV[1])
if call('EXISTS', record) == 0 then return 0 end
call('ZADD', key('flight'), 'XX', exact(clock(ARGV[3]) + ARGV[2]), ARGV[1])
if ARGV[4] == '1' and call('HSETNX', record, 'started', 1) == 1 then ring() end
return 1
