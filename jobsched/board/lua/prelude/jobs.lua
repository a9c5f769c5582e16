-- Jobs as the board keeps them: their entries, and their places on lines. Loaded in front of each script.
local ASIDE = '?'  -- the slice of a job that was set aside

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

local function known(id, job)  -- whether a job's entry stands for one that waits, was set aside, or is in flight
  if job.slice == ASIDE then
    local pair = call('HGET', key('aside'), id)
    return pair and call('SISMEMBER', key('asides'), pair) == 1 and call('ZSCORE', key('aside', pair), id)
  end
  if job.slice ~= '-' then return call('ZSCORE', key('flight'), job.slice) end
  return call('ZSCORE', key('line', job.site, job.band), on_line(id))
end

