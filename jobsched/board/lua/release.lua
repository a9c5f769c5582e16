-- Lets go the sites that their rate has held long enough.
-- ARGV     now (empty: Redis's clock), the most sites
-- returns  in how many seconds the next one is due, as text; empty when none is
local now = clock(ARGV[1])
for _, site in ipairs(call('ZRANGEBYSCORE', key('due'), '-inf', exact(now), 'LIMIT', 0, ARGV[2])) do
  call('ZREM', key('due'), site)
  touch(site)
end
local coming = call('ZRANGE', key('due'), 0, 0, 'WITHSCORES')
return coming[2] and exact(math.max(0, coming[2] - now)) or ''
