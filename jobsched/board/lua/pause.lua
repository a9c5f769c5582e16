-- Pauses exactly the lanes that are named.
-- ARGV     band names
-- returns  how many lanes changed
local paused, changed = {}, 0
for _, band in ipairs(ARGV) do paused[band] = true end
for _, band in ipairs(bands) do
  local field = 'paused:' .. band
  if paused[band] and not rules[field] then
    changed = changed + call('HSET', key('rules'), field, 1)
  elseif rules[field] and not paused[band] then
    changed = changed + call('HDEL', key('rules'), field)
  end
end
if changed > 0 then ring() end
return changed
