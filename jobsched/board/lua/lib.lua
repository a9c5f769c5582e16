-- What the board's scripts share: its keys, its rules, the score. Loaded in front of each of them.
-- KEYS[1]  the prefix of every key of the board; the other keys are derived from it, so a board lives on one Redis.
--
-- rules             hash    epoch, policy, chosen (1: at run time), the formula's numbers, paused:<band>, crew:<band>
--                           (workers that listen); without an epoch the board is lost
-- lane:<band>       zset    sites that may be served, by score
-- line:<site>:<band> zset   the site's waiting jobs (see on_line), by line score
-- tags:<site>:<band> hash   user -> finish tag within the line; v -> start tag of the job last taken
-- site:<site>       hash    capacity, weight, max_running, rate, burst, paused: its facts; tat (see spend);
--                           tiers (sum), running, held (it waits, and may not be served), tag:<band> (start tag),
--                           joined:<band> (virtual time at which the tag was last raised to it),
--                           work:<band> (estimates of its line, in microseconds), held_work:<band> (of these what
--                           counts as held in the lane)
-- tiers:<site>      hash    each user with jobs waiting here -> the tier weight that the user adds
-- user:<user>       hash    total -> the user's waiting jobs; <site> -> those at one site
-- jobs              hash    job -> "site user band execution_time attempt enqueued_at slice tag"; slice is - on a line
--                           and ? when it was set aside, tag is the start tag in its line
-- flight            zset    slices by the end of their lease
-- slice:<id>        hash    site, band, jobs, seconds (estimated), finish (the site's tag after it), taken (when),
--                           started
-- aside             hash    job that was set aside for lack of its task -> its pair, "band task"; asides: a set of all
--                           pairs; aside:<pair>: a zset of its jobs by their turn; turns:<pair>: site -> finish tag, v
-- points            zset    sites with waiting jobs, by points
-- due               zset    sites that their rate holds, by when it lets them go
-- lanes             hash    waiting:<band>, flying:<band>: counts of jobs; v:<band>: virtual time;
--                           work:<band> (estimates of what waits, in microseconds), held_work:<band> (of these
--                           those of held sites)
-- load:<band>       hash    what came and what was done lately (see observe)
-- asked, aims               what is expected of some waiting jobs, and how it turned out (see expect.lua)
-- inactive          set     users who do not count in points
-- slices, doorbell          the number of the last slice; a list that dispatchers sleep on
local call = redis.call

local function key(name, first, second)
  if second then return KEYS[1] .. name .. ':' .. first .. ':' .. second end
  return first and KEYS[1] .. name .. ':' .. first or KEYS[1] .. name
end

local rules = {}
local flat_rules = call('HGETALL', key('rules'))
for i = 1, #flat_rules, 2 do rules[flat_rules[i]] = flat_rules[i + 1] end
if not rules.epoch then return redis.error_reply('BOARDLOST the board has no rules: rebuild it from SQL') end
local SHAPE = '3'  -- as in rules.py: what another version has written is not for this one to read
if rules.shape ~= SHAPE then return redis.error_reply('BOARDLOST the board has another shape: rebuild it from SQL') end

local bands = {}
for band in string.gmatch(rules.bands, '%S+') do bands[#bands + 1] = band end

local function exact(number)  -- Lua's own conversion keeps 14 digits only
  return string.format('%.17g', number)
end

local function clock(argument)  -- Redis's clock, unless the caller keeps a virtual one
  if argument ~= '' then return tonumber(argument) end
  local now = call('TIME')
  return now[1] + now[2] / 1000000
end

local function on_line(id)  -- a line's member for a job: of equal scores the lower id goes first, 9 before 10
  return string.char(64 + #id) .. id
end

local function first(line)  -- the id of a line's first job
  local member = call('ZRANGE', line, 0, 0)[1]
  return member and string.sub(member, 2)
end

local function finite(text)  -- whether it says a number that can be counted with
  local number = tonumber(text)
  return number and math.abs(number) < 1e15
end

local function entry(id)  -- nil also for one that can not be read: to the scripts it is not there
  local packed = id and call('HGET', key('jobs'), id)
  if not packed then return nil end
  local site, user, band, seconds, attempt, enqueued_at, slice, tag = string.match(
    packed, '^(%d+) (%d+) (%S+) (%S+) (%d+) (%S+) (%S+) (%S+)$')
  if not (site and rules[band .. ':points'] and finite(seconds) and finite(enqueued_at) and finite(tag)) then
    return nil
  end
  return {site = site, user = user, band = band, seconds = seconds, attempt = attempt,
          enqueued_at = enqueued_at, slice = slice, tag = tag}
end

local function save(id, job)
  call('HSET', key('jobs'), id, table.concat(
    {job.site, job.user, job.band, job.seconds, job.attempt, job.enqueued_at, job.slice, job.tag}, ' '))
end

local ASIDE = '?'  -- the slice of a job that was set aside

local function known(id, job)  -- whether a job's entry stands for one that waits, was set aside, or is in flight
  if job.slice == ASIDE then
    local pair = call('HGET', key('aside'), id)
    return pair and call('SISMEMBER', key('asides'), pair) == 1 and call('ZSCORE', key('aside', pair), id)
  end
  if job.slice ~= '-' then return call('ZSCORE', key('flight'), job.slice) end
  return call('ZSCORE', key('line', job.site, job.band), on_line(id))
end

local function ring()
  if call('EXISTS', key('doorbell')) == 0 then call('LPUSH', key('doorbell'), 1) end
end

local function score(site, band, points)
  local boost = rules[band .. ':boost'] * math.min(points, rules.points_cap)
  local tag = call('HGET', key('site', site), 'tag:' .. band) or 0
  local value = boost - rules.share * tag
  if tonumber(rules.age) ~= 0 or tonumber(rules.size) ~= 0 then
    local head = entry(first(key('line', site, band)))
    if head then value = value - rules.age * head.enqueued_at - rules.size * head.seconds end
  end
  return value
end

local function rank(set, site, score)  -- puts the site into a set, or takes it out (nil); returns 1 when that is new
  if score then return call('ZADD', set, 'CH', exact(score), site) end
  return call('ZREM', set, site)
end

local function line_score(job)  -- the same formula one level down, lower first; the tag is the user's
  return rules.share * job.tag + rules.age * job.enqueued_at + rules.size * job.seconds
end

-- A lane's virtual time says how much its sites have had. Where the score goes by tags, it follows these; elsewhere the
-- sites do not progress together, so it is what they would have had if all who wait had been served evenly.
local goes_by_share = tonumber(rules.share) > 0

local function evenly(band, seconds)  -- what is each site's part, the one that has just been taken out included
  return seconds / (1 + call('ZCARD', key('lane', band)))
end

local function join(site, band)  -- a site that was idle, or held, goes on from the lane's virtual time
  local tag = call('HGET', key('site', site), 'tag:' .. band) or 0
  local v = call('HGET', key('lanes'), 'v:' .. band) or 0
  if tonumber(v) > tonumber(tag) then call('HSET', key('site', site), 'tag:' .. band, v, 'joined:' .. band, v) end
end

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

local emptied = {}  -- what counts jobs notes here whose line may have lost its last one: "site band"

local function refresh(site, all)  -- the site's points and place in each lane where it waits; returns how many changed
  local paused, max_running, running, rate, held_before, capacity, tiers = unpack(call(
    'HMGET', key('site', site), 'paused', 'max_running', 'running', 'rate', 'held', 'capacity', 'tiers'))
  local points, lengths, any = (capacity or 1) + (tiers or 0), {}, false
  for i, band in ipairs(bands) do
    lengths[i] = call('ZCARD', key('line', site, band))
    points = points + lengths[i] * rules[band .. ':points']
    any = any or lengths[i] > 0
  end
  local changed = rank(key('points'), site, any and points)
  local held = any and holds(site, {paused, max_running, running, rate})
  set_held(site, lengths, held_before, held)
  if held or held_before then count_held(site, held) end
  for i, band in ipairs(bands) do
    if lengths[i] > 0 then
      changed = changed + rank(key('lane', band), site, not held and score(site, band, points))
    elseif all or emptied[site .. ' ' .. band] then
      changed = changed + rank(key('lane', band), site, nil)
    end
  end
  return changed
end

local dirty = {}  -- sites whose points or lines this call has changed

local function refresh_dirty()  -- returns how many numbers changed
  local changed = 0
  for site in pairs(dirty) do changed = changed + refresh(site) end
  return changed
end

local counting = {}  -- whether users count in points, as far as this call has asked

local function tier_weight(user, pending)
  if pending == 0 then return 0 end
  if counting[user] == nil then counting[user] = call('SISMEMBER', key('inactive'), user) == 0 end
  if not counting[user] then return 0 end
  for below, weight in string.gmatch(rules.tiers, '(%d+):(%d+)') do
    if pending < tonumber(below) then return tonumber(weight) end
  end
  return tonumber(rules.top_tier)
end

local function contribute(site, user, here, weight)  -- what the user adds to the site's points
  local tiers = key('tiers', site)
  local change = weight - (call('HGET', tiers, user) or 0)
  if here > 0 then call('HSET', tiers, user, weight) else call('HDEL', tiers, user) end
  if change ~= 0 then call('HINCRBY', key('site', site), 'tiers', change) end
  dirty[site] = true
end

local function contribute_everywhere(user)
  local counts = call('HGETALL', key('user', user))
  local weight = tier_weight(user, tonumber(call('HGET', key('user', user), 'total') or 0))
  for i = 1, #counts, 2 do
    if counts[i] ~= 'total' then contribute(counts[i], user, tonumber(counts[i + 1]), weight) end
  end
end

local function micros(seconds)  -- whole ones, so that what is added and taken away again leaves nothing
  return math.floor(seconds * 1e6 + 0.5)
end

local function count(job, by)  -- one job more (1) or less (-1) on a line
  local site, user, band = job.site, job.user, job.band
  local counts = key('user', user)
  local here = call('HINCRBY', counts, site, by)
  local total = call('HINCRBY', counts, 'total', by)
  if here <= 0 then call('HDEL', counts, site) end
  if total <= 0 then call('DEL', counts) end
  -- A tier's border is crossed at no more than its own count of jobs, so at no more sites than that.
  -- The user's first and last job move no site but this.
  if total > 0 and total > by and tier_weight(user, total) ~= tier_weight(user, total - by) then
    contribute_everywhere(user)
  end
  contribute(site, user, here, here > 0 and tier_weight(user, total) or 0)
  if by < 0 then emptied[site .. ' ' .. band] = true end
  call('HINCRBY', key('lanes'), 'waiting:' .. band, by)
  local work = string.format('%d', by * micros(job.seconds))
  call('HINCRBY', key('lanes'), 'work:' .. band, work)
  if call('HINCRBY', key('site', site), 'work:' .. band, work) == 0 then
    call('HDEL', key('site', site), 'work:' .. band)
  end
end

local function forget_asked(id)
  if call('HDEL', key('asked'), id) == 1 then call('ZREM', key('asked', 'due'), id) end
end

local function leave_aside(id, pair)  -- takes a job out of what was set aside
  call('HDEL', key('aside'), id)
  call('ZREM', key('aside', pair), id)
  if call('EXISTS', key('aside', pair)) == 0 then
    call('SREM', key('asides'), pair)
    call('DEL', key('turns', pair))
  end
end

local function leave_line(id, job)  -- takes a waiting job off its line; returns whether it was there
  local line = key('line', job.site, job.band)
  if call('ZREM', line, on_line(id)) == 0 then return false end
  if call('EXISTS', line) == 0 then call('DEL', key('tags', job.site, job.band)) end
  count(job, -1)
  forget_asked(id)
  return true
end

-- Load: what happened in a lane, each event weighing e times less once it is LATELY_S old.
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

