-- Learns paces from a slice that has ended, and forgets its jobs. Listens to what is ended.
local function learn_paces(site, band, seconds, now)  -- a slice has ended
  local aims, facts, field = key('aims'), key('site', site), 'pace:' .. band
  local packed = call('HGET', aims, band .. ':pace')
  if not packed then return end  -- nobody says when slices start
  local waits = call('ZCARD', key('lane', band)) > 0
  call('HSET', aims, band .. ':pace', advance(packed, now, seconds, waits, free_crew(band)))
  if call('EXISTS', key('line', site, band)) == 0 then
    call('HDEL', facts, field)
  else
    local old = call('HGET', facts, field)
    if old then call('HSET', facts, field, advance(old, now, seconds, true, 1)) end
  end
end

function listeners.ended(slice)
  for _, id in ipairs(slice.ids) do forget_asked(id) end
  learn_paces(slice.site, slice.band, slice.seconds, slice.now)
end

