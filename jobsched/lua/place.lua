-- Puts jobs on their lines. Safe to repeat: a job that waits or is in flight already stays as it is.
-- ARGV     seven for each job: id, site, user, band, execution_time, attempt, enqueued_at
-- returns  how many were placed
local function join(site, band)  -- a site that was idle starts at the lane's virtual time
  local tag = call('HGET', key('site', site), 'tag:' .. band) or 0
  local v = call('HGET', key('lanes'), 'v:' .. band) or 0
  if tonumber(v) > tonumber(tag) then call('HSET', key('site', site), 'tag:' .. band, v, 'joined:' .. band, v) end
end

local function line_score(job)  -- users share their site's turn by start tags of their own
  local tags = key('tags', job.site, job.band)
  local start = math.max(call('HGET', tags, 'v') or 0, call('HGET', tags, job.user) or 0)
  call('HSET', tags, job.user, exact(start + job.seconds))
  return rules.share * start + rules.age * job.enqueued_at + rules.size * job.seconds
end

local placed = 0
for i = 1, #ARGV, 7 do
  local id, old = ARGV[i], entry(ARGV[i])
  if not (old and known(id, old)) then
    local job = {site = ARGV[i + 1], user = ARGV[i + 2], band = ARGV[i + 3], seconds = ARGV[i + 4],
                 attempt = ARGV[i + 5], enqueued_at = ARGV[i + 6], slice = '-'}
    local line = key('line', job.site, job.band)
    if call('ZCARD', line) == 0 then join(job.site, job.band) end
    save(id, job)
    call('ZADD', line, 'NX', exact(line_score(job)), on_line(id))
    count(job.site, job.user, job.band, 1)
    placed = placed + 1
  end
end
refresh_dirty()
if placed > 0 then ring() end
return placed
