-- Puts jobs on their lines. Safe to repeat: a job that waits or is in flight already stays as it is.
-- ARGV     now (empty: Redis's clock), 1 when they have just arrived (0: the board is made again), then items: id, site,
--          user, band, attempt, seconds, enqueued_at
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

for job in items(3) do
  local id, old = job.id, entry(job.id)
  if not (old and known(id, old)) then
    local line = key('line', job.site, job.band)
    if call('ZCARD', line) == 0 then join(job.site, job.band) end
    job.slice, job.tag = '-', start_tag(job)
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
