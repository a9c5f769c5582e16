-- Brings back what a clock that was put back has left in the future, where it would stand for as long as the clock was
-- put back: leases, the birth of the board, when its load was seen. (What rates have left there, recount.lua mends.)
-- ARGV     lease in seconds, now (empty: Redis's clock)
-- returns  how many were brought back
local FAR = 10  -- leases: hosts may differ in their settings, and no lease is given for longer
local lease, now, brought = tonumber(ARGV[1]), clock(ARGV[2]), 0

for _, slice in ipairs(call('ZRANGEBYSCORE', key('flight'), exact(now + FAR * lease), '+inf', 'LIMIT', 0, 1000)) do
  call('ZADD', key('flight'), exact(now + lease), slice)
  brought = brought + 1
end

local function bring_back(hash, field, slack)
  local at = tonumber(call('HGET', hash, field) or 0)
  if at and at > now + slack then
    call('HSET', hash, field, exact(now))
    brought = brought + 1
  end
end

bring_back(key('rules'), 'made_at', 0)
for _, band in ipairs(bands) do
  bring_back(key('load', band), 'at', lease)
  bring_back(key('load', band), 'since', lease)
end
return brought
