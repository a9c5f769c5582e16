-- What holds a site, so that it is in no lane: a pause, its cap, its rate. Loaded in front of each script.
local function holds(site, facts)  -- what keeps a site from being served, or nil
  local paused, max_running, running, rate = unpack(facts or call(
    'HMGET', key('site', site), 'paused', 'max_running', 'running', 'rate'))
  if paused == '1' then return 'paused' end
  if (max_running or '') ~= '' and tonumber(running or 0) >= tonumber(max_running) then return 'max_running' end
  return (rate or '') ~= '' and call('ZSCORE', key('due'), site) and 'rate' or nil
end

local function set_held(site, lengths, was, held)  -- one that is let go has saved up nothing: it joins its lanes anew
  if held and not was then
    call('HSET', key('site', site), 'held', 1)
  elseif was and not held then
    call('HDEL', key('site', site), 'held')
    for i, band in ipairs(bands) do
      if lengths[i] > 0 then join(site, band) end
    end
  end
end

local function count_held(site, held)  -- its lines count as held in their lanes, or not any more
  for _, band in ipairs(bands) do
    local work, counted = unpack(call('HMGET', key('site', site), 'work:' .. band, 'held_work:' .. band))
    local right = held and work or 0
    if tonumber(right) ~= tonumber(counted or 0) then
      call('HINCRBY', key('lanes'), 'held_work:' .. band, string.format('%.0f', right - (counted or 0)))
      if right ~= 0 then
        call('HSET', key('site', site), 'held_work:' .. band, right)
      else
        call('HDEL', key('site', site), 'held_work:' .. band)
      end
    end
  end
end

