-- Tells the board about sites; their scores follow.
-- ARGV     three for each site: id, record_capacity, weight
-- returns  how many were new to the board or differed
local changed = 0
for i = 1, #ARGV, 3 do
  local facts = key('site', ARGV[i])
  local old = call('HMGET', facts, 'capacity', 'weight')
  if old[1] ~= ARGV[i + 1] or old[2] ~= ARGV[i + 2] then
    call('HSET', facts, 'capacity', ARGV[i + 1], 'weight', ARGV[i + 2])
    refresh(ARGV[i])
    changed = changed + 1
  end
end
return changed
