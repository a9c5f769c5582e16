-- What a script tells others. Loaded in front of each script.
--
-- Dispatchers are woken by the doorbell. Of what happens on the way of jobs, a listener that was loaded (forecast/) is
-- told at the end of the script, when all scores are right again:
-- placed   {band, id, now}: jobs have arrived on a lane, of which this is the newest
-- started  {site, band, ids, seconds, taken (nil: not known), now}: a worker has begun with a slice
-- ended    {site, band, ids, seconds (0: what it used is not known), now}: a slice is over
-- gone     the id of a job that has left its line, or its slice, for elsewhere
local listeners, happened = {}, {}

local function emit(event, facts)
  if listeners[event] then happened[#happened + 1] = {listeners[event], facts} end
end

local function tell_listeners()
  for _, one in ipairs(happened) do one[1](one[2]) end
end

local function ring()
  if call('EXISTS', key('doorbell')) == 0 then call('LPUSH', key('doorbell'), 1) end
end

