-- Load: what happened in a lane, each event weighing e times less once it is LATELY_S old. Loaded in front of the
-- scripts that see jobs arrive and end.
-- load:<band>  at, since (the first event); arrived, ended: jobs; used, squares: the worker-seconds that those ended took
local LATELY_S = 100
local OBSERVED = {'arrived', 'ended', 'used', 'squares'}

local function observe(band, now, happened)
  local load = key('load', band)
  local old = call('HMGET', load, 'at', 'since', unpack(OBSERVED))
  local fade = math.exp(math.min(0, (old[1] or now) - now) / LATELY_S)
  local new = {'at', exact(math.max(old[1] or now, now)), 'since', old[2] or exact(now)}
  for i, what in ipairs(OBSERVED) do
    new[#new + 1] = what
    new[#new + 1] = exact((old[i + 2] or 0) * fade + (happened[what] or 0))
  end
  call('HSET', load, unpack(new))
end

