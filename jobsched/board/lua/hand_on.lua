-- Cuts slices of what was set aside for lack of a task, for workers that know it; each goes into flight as by take. A
-- paused site gets none, and none gets more than its max_running; its rate was spent when the jobs were taken first.
-- ARGV     band, task, n, budget in seconds, most jobs a slice, lease in seconds, now (empty: Redis's clock)
-- returns  as take
local LOOKED_AT = 500    -- jobs that one call looks at
local band, pair, most = ARGV[1], ARGV[1] .. ' ' .. ARGV[2], tonumber(ARGV[5])
local budget, now = ARGV[4] * (1 + 1e-9), clock(ARGV[7])
local slices, open, room = {}, {}, {}
if rules['paused:' .. band] then return slices end

local function has_room(site)  -- how many of its jobs may still go
  if not room[site] then
    local paused, most_running, running = unpack(call('HMGET', key('site', site), 'paused', 'max_running', 'running'))
    room[site] = (most_running or '') ~= '' and most_running - (running or 0) or math.huge
    if paused == '1' then room[site] = 0 end
  end
  return room[site] > 0
end

local function fits(cut, job)
  return cut and not cut.alone and tonumber(job.attempt) == 0 and #cut.ids < most and cut.seconds + job.seconds <= budget
end

local function slice_for(job)  -- the open slice of its site, else a new one; nil when there are enough
  local cut = open[job.site]
  if fits(cut, job) then return cut end
  if #slices >= tonumber(ARGV[3]) then return nil end
  cut = {site = job.site, ids = {}, fences = {}, seconds = 0, alone = tonumber(job.attempt) > 0, id = next_id(now)}
  open[job.site], slices[#slices + 1] = cut, cut
  return cut
end

for _, id in ipairs(call('ZRANGE', key('aside', pair), 0, LOOKED_AT - 1)) do
  local job = entry(id)
  if not job or job.slice ~= ASIDE then
    leave_aside(id, pair)
  elseif has_room(job.site) then
    local cut = slice_for(job)
    if cut then
      call('HSET', key('turns', pair), 'v', call('ZSCORE', key('aside', pair), id))
      leave_aside(id, pair)
      job.slice = cut.id
      save(id, job)
      cut.ids[#cut.ids + 1], cut.fences[#cut.fences + 1] = id, id .. ':' .. job.attempt
      cut.seconds, room[job.site] = cut.seconds + job.seconds, room[job.site] - 1
    end
  end
end

local told = {}
for _, cut in ipairs(slices) do
  fly(cut.id, band, cut, ARGV[6], now)
  told[#told + 1] = {cut.id, cut.site, call('ZSCORE', key('points'), cut.site) or 0, exact(now),
                     table.concat(cut.fences, ' ')}
end
return told
