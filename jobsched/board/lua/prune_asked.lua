-- Forgets what was told to jobs that do not wait any more, and moments at which nobody is late. There are few of both.
-- ARGV     none
-- returns  how many went
local gone = 0
for _, id in ipairs(call('HKEYS', key('asked'))) do
  local job = entry(id)
  if not (job and known(id, job)) then
    forget_asked(id)
    gone = gone + 1
  end
end
for _, id in ipairs(call('ZRANGE', key('asked', 'due'), 0, -1)) do
  if call('HEXISTS', key('asked'), id) == 0 then gone = gone + call('ZREM', key('asked', 'due'), id) end
end
return gone
