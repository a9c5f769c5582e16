-- Tells the board about sites; their scores follow, and what they may get.
-- ARGV     seven for each site: id, record_capacity, weight, max_running, rate, burst (empty: no limit), 1 when paused
-- returns  how many were new to the board or differed
local FIELDS = {'capacity', 'weight', 'max_running', 'rate', 'burst', 'paused'}
local changed = 0

local function tell(site, told)  -- returns whether it is new
  local facts = key('site', site)
  local old, differs, new = call('HMGET', facts, unpack(FIELDS)), {}, {}
  for i, field in ipairs(FIELDS) do
    if old[i] ~= told[i] then differs[field] = true end
    new[2 * i - 1], new[2 * i] = field, told[i]
  end
  if not next(differs) then return false end
  call('HSET', facts, unpack(new))
  if differs.rate or differs.burst then  -- another rate begins with a burst of its own
    call('HDEL', facts, 'tat')
    call('ZREM', key('due'), site)
  end
  touch(site)
  return true
end

for i = 1, #ARGV, 7 do
  local told = {unpack(ARGV, i + 1, i + 6)}
  if tell(ARGV[i], told) then changed = changed + 1 end
end
if changed > 0 then ring() end
return changed
