-- Ends a slice: out of flight, its jobs off the board, and what it really used charged in place of its estimate.
-- Safe to repeat: a slice that is not in flight changes nothing.
-- ARGV     slice, used seconds (empty: not known, the estimate stands), now (empty: Redis's clock)
-- returns  1 when the slice was in flight, else 0
local record = key('slice', ARGV[1])
local facts = call('HMGET', record, 'site', 'band', 'jobs', 'seconds', 'finish')
local site, band, now = facts[1], facts[2], clock(ARGV[3])
call('ZREM', key('flight'), ARGV[1])  -- also a stray one, which would come up as expired for ever
if not site then return 0 end

local function charge()  -- what it really used, in place of the estimate
  local state = call('HMGET', key('site', site), 'weight', 'tag:' .. band, 'joined:' .. band)
  local finish, joined = tonumber(facts[5]), tonumber(state[3] or 0)
  local right = finish + (ARGV[2] - facts[4]) / (state[1] or 1)
  -- A site that went idle and joined anew since was raised to the virtual time, whatever it had used before.
  local correction = math.max(right, joined) - math.max(finish, joined)
  call('HSET', key('site', site), 'tag:' .. band, exact((state[2] or 0) + correction))
  if not goes_by_share then
    local longer = math.max(0, ARGV[2] - facts[4])  -- a lane's virtual time never goes back
    call('HINCRBYFLOAT', key('lanes'), 'v:' .. band, exact(evenly(band, longer)))
  end
end

call('DEL', record)
local ids = {}
for id in string.gmatch(facts[3], '%S+') do
  local job = entry(id)
  if job and job.slice == ARGV[1] then call('HDEL', key('jobs'), id) end
  ids[#ids + 1] = id
end
local is_known = count_flying(site, band, 0 - #ids)  -- Lua would write -0, which is no integer to Redis
if ARGV[2] ~= '' then
  if #ids > 0 then observe(band, now, {ended = #ids, used = ARGV[2], squares = ARGV[2] ^ 2 / #ids}) end
  if is_known then charge() end
end
emit('ended', {site = site, band = band, ids = ids, seconds = ARGV[2] == '' and 0 or facts[4], now = now})
ring()
return 1
