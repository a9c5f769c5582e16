-- Cuts slices for a lane: the top site's first jobs up to a budget, charged and put into flight; again up to n times.
-- A job that was started before goes alone.
-- ARGV     band, n, budget in seconds, most jobs a slice, lease in seconds, now (empty: Redis's clock)
-- returns  for each slice {id, site, points at dispatch, now, "job:attempt job:attempt ..."}
local band, most = ARGV[1], tonumber(ARGV[4])
local budget = ARGV[3] * (1 + 1e-9)  -- a hundred times 0.001 is a little more than 0.1
local now = clock(ARGV[6])

-- Rates are kept by the generic cell rate algorithm (ITU-T I.371): tat is when, at its rate, the site would have had
-- all that it got; it may run ahead of that by its burst. All is in seconds.
local function allowance(site)  -- how many jobs the site may have now, and what spend needs to know
  local facts = call('HMGET', key('site', site), 'max_running', 'running', 'rate', 'burst', 'tat')
  local jobs = most
  if (facts[1] or '') ~= '' then jobs = math.min(jobs, facts[1] - (facts[2] or 0)) end
  if (facts[3] or '') == '' then return jobs end
  local each = 1 / facts[3]
  local gcra = {each = each, ahead = (facts[4] - 1) * each, tat = math.max(facts[5] or now, now)}
  local early = now - (gcra.tat - gcra.ahead)  -- compared as in spend: a site that is let go may have one
  if early < 0 then return 0, gcra end
  return math.min(jobs, 1 + math.floor(early / each + 0.001)), gcra
end

local function spend(site, gcra, jobs)  -- when the next one would be too soon, the site is held until it is not
  local tat = gcra.tat + jobs * gcra.each
  call('HSET', key('site', site), 'tat', exact(tat))
  if tat - gcra.ahead > now then call('ZADD', key('due'), exact(tat - gcra.ahead), site) end
end

local function pop(site, slice, most)  -- the line's first jobs, while they fit the budget
  local line, tags = key('line', site, band), key('tags', site, band)
  local ids, fences, seconds, last = {}, {}, 0, nil
  while #ids < most do
    local id = first(line)
    local job = entry(id)
    local alone = job and tonumber(job.attempt) > 0  -- it may be what killed its worker: no neighbour is to pay for it
    if not id or (job and #ids > 0 and (alone or seconds + job.seconds > budget)) then break end
    call('ZPOPMIN', line)
    if job then
      last = job
      job.slice = slice
      save(id, job)
      count(job, -1)
      ids[#ids + 1], fences[#fences + 1] = id, id .. ':' .. job.attempt
      seconds = seconds + job.seconds
      if alone then break end
    end
  end
  if call('EXISTS', line) == 0 then
    call('DEL', tags)
  elseif last then
    call('HSET', tags, 'v', last.tag)  -- the line's virtual time
  end
  return ids, fences, seconds
end

local function cut(site)
  local slice = next_id(now)
  local points = call('ZSCORE', key('points'), site) or 0
  local allowed, gcra = allowance(site)
  local ids, fences, seconds = pop(site, slice, allowed)
  if gcra then spend(site, gcra, #ids) end
  if #ids > 0 then fly(slice, band, {site = site, ids = ids, seconds = seconds}, ARGV[5], now) end
  return #ids > 0 and {slice, site, points, exact(now), table.concat(fences, ' ')} or nil
end

local slices = {}
if rules['paused:' .. band] then return slices end
for _ = 1, ARGV[2] do
  local top = call('ZPOPMAX', key('lane', band))
  if #top == 0 then break end
  slices[#slices + 1] = cut(top[1])
  touch(top[1])
  rank_touched()  -- the next one is popped from a lane that is right
end
return slices
