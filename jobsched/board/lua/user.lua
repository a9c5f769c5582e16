-- Tells the board whether users count in points.
-- ARGV     two for each user: id, 1 active or 0 not
-- returns  how many changed
local changed = 0
for i = 1, #ARGV, 2 do
  local command = ARGV[i + 1] == '1' and 'SREM' or 'SADD'
  if call(command, key('inactive'), ARGV[i]) == 1 then
    contribute_everywhere(ARGV[i])
    changed = changed + 1
  end
end
return changed
