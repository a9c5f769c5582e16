-- Tells the board about sites; their scores follow, and what they may get.
-- ARGV     items: id, then the facts as they are kept (see keys.lua): capacity, weight, max_running, rate, burst (empty:
--          no limit), paused (1 or 0)
-- returns  how many were new to the board or differed
local function tell(told, names)  -- returns whether it is new
  local facts, fields = key('site', told.id), {unpack(names, 2)}
  local old, differs, new = call('HMGET', facts, unpack(fields)), {}, {}
  for i, field in ipairs(fields) do
    if old[i] ~= told[field] then differs[field] = true end
    new[2 * i - 1], new[2 * i] = field, told[field]
  end
  if not next(differs) then return false end
  call('HSET', facts, unpack(new))
  if differs.rate or differs.burst then  -- another rate begins with a burst of its own
    call('HDEL', facts, 'tat')
    call('ZREM', key('due'), told.id)
  end
  touch(told.id)
  return true
end

local changed = 0
for told, names in items(1) do
  if tell(told, names) then changed = changed + 1 end
end
if changed > 0 then ring() end
return changed
