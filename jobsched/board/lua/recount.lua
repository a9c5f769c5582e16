-- Counts one site's jobs again from its lines and its slices in flight, and mends every number that differs. What is on
-- a line but stands for no job that waits there goes.
-- ARGV     site, the most waiting jobs to look at; above it nothing is done; now (empty: Redis's clock)
-- returns  how many numbers were wrong
local site, wrong, counts = ARGV[1], 0, {}
local facts = key('site', site)

local function mend(hash, field, right)
  if tonumber(call('HGET', hash, field) or 0) == right then return end
  call('HSET', hash, field, exact(right))
  wrong = wrong + 1
end

local waiting = 0
for _, band in ipairs(bands) do waiting = waiting + call('ZCARD', key('line', site, band)) end
if waiting > tonumber(ARGV[2]) then return 0 end

local function belongs(member, job, band)
  return job and job.slice == '-' and job.site == site and job.band == band
    and member == on_line(string.sub(member, 2))
end

for _, band in ipairs(bands) do
  local work, line = 0, key('line', site, band)
  local members = call('ZRANGE', line, 0, -1, 'WITHSCORES')
  for i = 1, #members, 2 do
    local member, job = members[i], entry(string.sub(members[i], 2))
    if not belongs(member, job, band) then
      wrong = wrong + call('ZREM', line, member)
    else
      counts[job.user] = (counts[job.user] or 0) + 1
      work = work + micros(job.seconds)
      if tonumber(members[i + 1]) ~= line_score(job) and not rules.rescoring then
        wrong = wrong + call('ZADD', line, 'CH', exact(line_score(job)), member)
      end
    end
  end
  if call('EXISTS', line) == 0 then wrong = wrong + call('DEL', key('tags', site, band)) end
  mend(facts, 'work:' .. band, work)
  if work == 0 then call('HDEL', facts, 'work:' .. band) end
end
for _, user in ipairs(call('HKEYS', key('tiers', site))) do counts[user] = counts[user] or 0 end

for user, here in pairs(counts) do
  local sites, total = key('user', user), 0
  mend(sites, site, here)
  if here == 0 then call('HDEL', sites, site) end
  local kept = call('HGETALL', sites)
  for i = 1, #kept, 2 do
    if kept[i] ~= 'total' then total = total + kept[i + 1] end
  end
  mend(sites, 'total', total)
  if total == 0 then call('DEL', sites) end
  contribute_everywhere(user)
  if here == 0 then contribute(site, user, 0, 0) end
end

local tiers, running = 0, 0
for _, weight in ipairs(call('HVALS', key('tiers', site))) do tiers = tiers + weight end
for _, slice in ipairs(call('ZRANGE', key('flight'), 0, -1)) do
  local record = call('HMGET', key('slice', slice), 'site', 'jobs')
  if record[1] == site then
    for _ in string.gmatch(record[2] or '', '%S+') do running = running + 1 end
  end
end
mend(facts, 'tiers', tiers)
mend(facts, 'running', running)

-- No site's tat is further ahead than its burst, and one job, and none is held for longer than that: what is further
-- says that the clock was put back.
local rate, burst, tat = unpack(call('HMGET', facts, 'rate', 'burst', 'tat'))
local limited = (rate or '') ~= ''
local ahead, due = limited and (burst + 1) / rate, call('ZSCORE', key('due'), site)
if tat and limited and tat - clock(ARGV[3]) > ahead then
  call('HDEL', facts, 'tat')
  call('ZREM', key('due'), site)
  wrong = wrong + 1
elseif due and not (limited and due - clock(ARGV[3]) <= ahead) then
  wrong = wrong + call('ZREM', key('due'), site)
end
local held = waiting > 0 and holds(site) ~= nil
if held ~= (call('HEXISTS', facts, 'held') == 1) then wrong = wrong + 1 end  -- to rank the site mends it

touch(site)
return wrong + rank_touched()
