-- Tells the board whether users count in points.
-- ARGV     items: id, active (1 or 0)
-- returns  how many changed
local changed = 0
for user in items(1) do
  local command = user.active == '1' and 'SREM' or 'SADD'
  if call(command, key('inactive'), user.id) == 1 then
    contribute_everywhere(user.id)
    changed = changed + 1
  end
end
return changed
