-- Puts jobs on their lines. Safe to repeat: a job that waits or is in flight already stays as it is.
-- ARGV     now (empty: Redis's clock), 1 when they have just arrived (0: the board is made again), then seven for each
--          job: id, site, user, band, execution_time, attempt, enqueued_at
-- returns  how many were placed
local now, arriving = clock(ARGV[1]), ARGV[2] == '1'
local placed, arrived, newest, paused = 0, {}, {}, {}

local function start_tag(job)  -- users share their site's turn by start tags of their own
  local tags = key('tags', job.site, job.band)
  local start = math.max(call('HGET', tags, 'v') or 0, call('HGET', tags, job.user) or 0)
  call('HSET', tags, job.user, exact(start + job.seconds))
  return exact(start)
end

local function is_paused(site)  -- what comes there loads nobody, until it is let go and is backlog
  if paused[site] == nil then paused[site] = call('HGET', key('site', site), 'paused') == '1' end
  return paused[site]
end

for i = 3, #ARGV, 7 do
  local id, old = ARGV[i], entry(ARGV[i])
  if not (old and known(id, old)) then
    local job = {site = ARGV[i + 1], user = ARGV[i + 2], band = ARGV[i + 3], seconds = ARGV[i + 4],
                 attempt = ARGV[i + 5], enqueued_at = ARGV[i + 6], slice = '-'}
    local line = key('line', job.site, job.band)
    if call('ZCARD', line) == 0 then join(job.site, job.band) end
    job.tag = start_tag(job)
    save(id, job)
    call('ZADD', line, 'NX', exact(line_score(job)), on_line(id))
    count(job, 1)
    placed = placed + 1
    if arriving and not is_paused(job.site) then
      arrived[job.band] = (arrived[job.band] or 0) + 1
      newest[job.band] = id
    end
  end
end
if placed > 0 then
  for band, jobs in pairs(arrived) do
    observe(band, now, {arrived = jobs})
    emit('placed', {band = band, id = newest[band], now = now})
  end
  ring()
end
return placed
