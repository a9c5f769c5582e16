-- Puts a slice that a worker holds, but the board has forgotten (FLUSHALL), back into flight. Safe to repeat.
-- ARGV     slice, site, band, lease in seconds, now (empty: Redis's clock), then items, its jobs:
--          id, user, seconds, attempt
-- returns  1 when it was put back, 0 when the board knows the slice
local slice, site, band = ARGV[1], ARGV[2], ARGV[3]
if call('EXISTS', key('slice', slice)) == 1 then return 0 end

local ids = {}
for job in items(6) do
  local id, known = job.id, entry(job.id)
  if known and known.slice == '-' then leave_line(id, known) end
  local pair = call('HGET', key('aside'), id)
  if pair then leave_aside(id, pair) end
  save(id, {site = site, user = job.user, band = band, seconds = job.seconds, attempt = job.attempt,
            enqueued_at = known and known.enqueued_at or '0', slice = slice, tag = '0'})
  ids[#ids + 1] = id
end
-- Its estimate was charged on the board that is lost: to this one it owes all that it uses.
call('HSET', key('slice', slice), 'site', site, 'band', band, 'jobs', table.concat(ids, ' '), 'seconds', 0,
     'finish', call('HGET', key('site', site), 'tag:' .. band) or 0, 'started', 1)
call('ZADD', key('flight'), exact(clock(ARGV[5]) + ARGV[4]), slice)
count_flying(site, band, #ids)
return 1
