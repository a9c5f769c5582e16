-- Drops what a user's counts say of sites where no job of the user waits; a recount of a site mends the rest.
-- ARGV     user
-- returns  how many fields were dropped
local counts, total, dropped = key('user', ARGV[1]), 0, 0
local kept = call('HGETALL', counts)
for i = 1, #kept, 2 do
  if kept[i] ~= 'total' and call('HEXISTS', key('tiers', kept[i]), ARGV[1]) == 0 then
    dropped = dropped + call('HDEL', counts, kept[i])
  elseif kept[i] ~= 'total' then
    total = total + kept[i + 1]
  end
end
if total == 0 then
  dropped = dropped + call('DEL', counts)
elseif tonumber(call('HGET', counts, 'total') or 0) ~= total then
  call('HSET', counts, 'total', exact(total))
  dropped = dropped + 1
end
return dropped
